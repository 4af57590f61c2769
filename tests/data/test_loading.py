"""One door to datasets, with one sentence for everything that is not there."""

from __future__ import annotations

import pytest
from datasets import Dataset, DatasetDict

from hf_privacy.data import dataset_fingerprint, load_dataset_from
from hf_privacy.errors import InputError

ROWS = Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 0]})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_a_local_file_is_read(tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    getattr(ROWS, f"to_{kind}")(path)
    assert dataset_fingerprint(load_dataset_from(str(path))) == dataset_fingerprint(ROWS)


def test_a_folder_of_files_has_its_splits(tmp_path):
    folder = tmp_path / "rows"
    folder.mkdir()
    ROWS.to_parquet(folder / "train.parquet")
    ROWS.select([0]).to_parquet(folder / "test.parquet")
    assert len(load_dataset_from(str(folder))) == 3
    assert len(load_dataset_from(str(folder), split="test")) == 1
    with pytest.raises(InputError, match=r"Unknown split \"validation\". Should be one of \['train', 'test'\]"):
        load_dataset_from(str(folder), split="validation")


def test_a_folder_saved_to_disk_is_read(tmp_path):
    ROWS.save_to_disk(tmp_path / "one")
    DatasetDict(a=ROWS, b=ROWS.select([1])).save_to_disk(tmp_path / "two")
    assert len(load_dataset_from(str(tmp_path / "one"))) == 3
    assert len(load_dataset_from(str(tmp_path / "two"), split="b")) == 1
    with pytest.raises(InputError, match="has the splits a, b: choose one"):
        load_dataset_from(str(tmp_path / "two"))


@pytest.mark.parametrize(
    ("split", "rows"),
    [(None, 1797), ("train", 1797), ("train[:10]", 10), ("train[10:30]+train[-5:]", 25), ("train[:50%]", 898)],
)
def test_the_digits_take_split_slices(split, rows):
    assert len(load_dataset_from("digits", split=split)) == rows


def test_an_unknown_split_names_those_there_are():
    with pytest.raises(InputError, match=r"split is 'test' and dataset 'digits' has the splits train"):
        load_dataset_from("digits", split="test")


def test_offline_and_not_cached_is_one_sentence_with_the_ways_out():
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE.*local file or folder") as caught:
        load_dataset_from("nobody/nothing-here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["./nothing.parquet", "/nothing", "nothing.csv", "a/b/c", "~/nothing"])
def test_a_missing_path_is_not_looked_for_on_the_hub(source):
    with pytest.raises(InputError, match="no such file or folder"):
        load_dataset_from(source)


def test_a_folder_or_file_without_data_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="data files"):
        load_dataset_from(str(tmp_path / "empty"))
    (tmp_path / "x.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"ends in '.bin': pass one of .parquet"):
        load_dataset_from(str(tmp_path / "x.bin"))
    (tmp_path / "broken.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="Parquet file size is 1 bytes"):
        load_dataset_from(str(tmp_path / "broken.parquet"))


def test_name_and_revision_belong_to_the_hub():
    with pytest.raises(InputError, match="takes neither name nor revision"):
        load_dataset_from("digits", revision="main")


# ---- words that a csv reader would take for nothing ----

WORDS = ["None", "null", "NA", "nan", "N/A", "NULL", "NaN", "n/a", "#N/A", "-nan"]


@pytest.mark.parametrize("place", ["words.csv", "words.tsv", "folder"])
def test_what_someone_wrote_is_no_missing_value(tmp_path, place):
    separator = "\t" if place.endswith("tsv") else ","
    path = tmp_path / ("folder/words.csv" if place == "folder" else place)
    path.parent.mkdir(exist_ok=True)
    lines = [separator.join(["text", "label"]), *(separator.join([word, word]) for word in WORDS)]
    path.write_text("\n".join([*lines, separator.join(["", "x"])]) + "\n")
    rows = load_dataset_from(str(path.parent if place == "folder" else path))
    assert rows["text"][:] == [*WORDS, None]  # an empty cell alone is missing
    assert rows["label"][:] == [*WORDS, "x"]
