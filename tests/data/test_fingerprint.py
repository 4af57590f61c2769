"""Rows and datasets are named by their content alone."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from datasets import Dataset, Features, Image, List, Value, load_dataset
from PIL import Image as PillowImage

from hf_privacy.data import content_hashes, dataset_fingerprint, example_ids, load_digits_dataset
from hf_privacy.data.fingerprint import canonical_bytes
from hf_privacy.errors import InputError

ROWS = {"text": ["a", "b", "ä"], "label": [0, 1, 2], "weight": [0.5, 1.0, -0.0], "vector": [[1, 2], [3, 4], []]}


def encoded(pixels: np.ndarray, kind: str = "PNG", mode: str | None = None) -> dict:
    buffer = io.BytesIO()
    image = PillowImage.fromarray(pixels)
    (image.convert(mode) if mode else image).save(buffer, format=kind)
    return {"bytes": buffer.getvalue(), "path": None}


def images(rows: list[dict]) -> Dataset:
    return Dataset.from_dict({"image": rows}, features=Features({"image": Image()}))


def test_the_hash_does_not_depend_on_the_file_format(tmp_path):
    dataset = Dataset.from_dict(ROWS)
    dataset.to_parquet(tmp_path / "a.parquet")
    dataset.to_json(tmp_path / "b.jsonl")
    dataset.save_to_disk(tmp_path / "c")
    for kind, file in (("parquet", "a.parquet"), ("json", "b.jsonl")):
        again = load_dataset(kind, data_files=str(tmp_path / file), cache_dir=str(tmp_path / "cache"))["train"]
        assert dataset_fingerprint(again) == dataset_fingerprint(dataset)
    assert dataset_fingerprint(Dataset.load_from_disk(tmp_path / "c")) == dataset_fingerprint(dataset)


def test_the_hash_does_not_depend_on_the_process_or_the_version():
    expected = "6ef084a3f3067b930328b5d4f288fde8"
    code = (
        "from datasets import Dataset; from hf_privacy.data import content_hashes;"
        "print(content_hashes(Dataset.from_dict({'text': ['a'], 'label': [1]}))[0])"
    )
    here = str(content_hashes(Dataset.from_dict({"text": ["a"], "label": [1]}))[0])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here == expected


def test_the_order_of_rows_changes_the_fingerprint_but_not_the_names():
    dataset = Dataset.from_dict({"text": ["a", "b", "a", "c"]})
    other = dataset.select([3, 2, 1, 0])
    assert set(example_ids(dataset)) == set(example_ids(other))
    assert dataset_fingerprint(dataset) != dataset_fingerprint(other)


def test_the_order_of_columns_does_not_matter_and_their_names_do():
    one = Dataset.from_dict({"a": ["x"], "b": ["y"]})
    assert dataset_fingerprint(one) == dataset_fingerprint(Dataset.from_dict({"b": ["y"], "a": ["x"]}))
    assert dataset_fingerprint(one) != dataset_fingerprint(Dataset.from_dict({"a": ["y"], "b": ["x"]}))


def test_repeats_get_a_number_and_names_are_unique():
    names = example_ids(Dataset.from_dict({"text": ["a"] * 3 + ["b"]})).tolist()
    assert names[1:3] == [names[0] + "-1", names[0] + "-2"]
    assert len(set(names)) == 4


def test_chosen_columns_alone_make_the_content():
    dataset = Dataset.from_dict({"text": ["a", "a"], "idx": [0, 1]})
    assert len(set(content_hashes(dataset))) == 2
    assert len(set(content_hashes(dataset, columns=["text"]))) == 1


def test_number_types_agree_on_equal_numbers():
    assert canonical_bytes(1) == canonical_bytes(1.0) == canonical_bytes(np.uint8(1)) == canonical_bytes(True)
    assert canonical_bytes(0.0) == canonical_bytes(-0.0)
    assert canonical_bytes(2**53 + 1) != canonical_bytes(2.0**53)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_number_lists_have_the_same_bytes_by_arrow_and_by_python(dtype):
    rows = [[1, 2, 3], [], [4]]
    features = Features({"x": List(Value(dtype))})
    assert (
        content_hashes(Dataset.from_dict({"x": rows}, features=features)).tolist()
        == content_hashes(Dataset.from_dict({"x": rows})).tolist()
    )
    python = [canonical_bytes(row) for row in rows]
    assert len(set(python)) == 3


def test_integers_beyond_float64_are_told_apart_in_lists():
    dataset = Dataset.from_dict({"x": [[2**53], [2**53 + 1]]})
    assert len(set(content_hashes(dataset))) == 2


def test_a_view_with_chosen_rows_hashes_as_its_rows():
    dataset = Dataset.from_dict({"x": [[float(i), 0.0] for i in range(10)]})
    assert content_hashes(dataset.select([7, 2])).tolist() == content_hashes(dataset)[[7, 2]].tolist()


def test_parts_cannot_be_moved_between_values():
    assert canonical_bytes(["ab", "c"]) != canonical_bytes(["a", "bc"])
    assert canonical_bytes("1") != canonical_bytes(1)
    assert canonical_bytes([[1, 2]]) != canonical_bytes([[1], [2]])
    assert len({canonical_bytes(value) for value in (None, "", [], b"", {}, 0)}) == 6


def test_images_hash_by_pixels_and_not_by_file():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    hashes = content_hashes(
        images([encoded(pixels), encoded(pixels, "BMP"), encoded(pixels.T), encoded(pixels, "PNG", "RGB")])
    )
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_palettes_are_resolved():
    one = PillowImage.fromarray(np.zeros((2, 2), np.uint8)).convert("P")
    other = one.copy()
    one.putpalette([0, 0, 0] * 256)
    other.putpalette([9, 9, 9] * 256)
    assert canonical_bytes(one) != canonical_bytes(other)


def test_the_dataset_format_does_not_matter():
    dataset = load_digits_dataset().select(range(5))
    assert dataset_fingerprint(dataset.with_format("numpy")) == dataset_fingerprint(dataset)


def test_an_unknown_column_is_named():
    with pytest.raises(InputError, match=r"columns is 'txt'.*did you mean 'text'"):
        content_hashes(Dataset.from_dict({"text": ["a"]}), columns=["txt"])


def test_images_are_named_as_in_version_0_1():
    expected = "3d67f103004e1d40d1765a1411e2b528e203a5c1d61fbc74288b148285c0bba1"
    assert dataset_fingerprint(load_digits_dataset()) == expected
