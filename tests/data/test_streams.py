"""A stream is read once, and its rows are those of the dataset it comes from."""

from __future__ import annotations

import pytest
from datasets import Dataset, IterableDataset

from hf_privacy.data import dataset_fingerprint, load_digits_dataset, read_stream
from hf_privacy.errors import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_PRIVACY_CACHE", str(tmp_path / "cache"))


def test_rows_read_once_are_those_of_the_dataset(tmp_path):
    digits = load_digits_dataset().select(range(70))
    rows = read_stream(digits.to_iterable_dataset())
    assert isinstance(rows, Dataset)
    assert rows.features == digits.features
    assert dataset_fingerprint(rows) == dataset_fingerprint(digits)
    assert rows[3]["image"].tobytes() == digits[3]["image"].tobytes()
    assert len(list((tmp_path / "cache").glob("stream-*"))) == 1
    assert len(read_stream(digits.to_iterable_dataset(), max_rows=5)) == 5


def test_what_cannot_be_read_is_refused():
    rows = Dataset.from_dict({"x": [1]})
    with pytest.raises(InputError, match="stream is Dataset"):
        read_stream(rows)
    with pytest.raises(InputError, match="the stream has no rows"):
        read_stream(IterableDataset.from_generator(lambda: iter([]), features=rows.features))
    with pytest.raises(InputError, match="which columns it has"):
        read_stream(IterableDataset.from_generator(lambda: iter([{"x": 1}])))
