"""The weights' hash sees the tensors and nothing else."""

from __future__ import annotations

import hashlib
import json
import tracemalloc

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256

TENSORS = {
    "b.weight": np.arange(6, dtype="float32").reshape(2, 3),
    "a.weight": np.arange(4, dtype="float16"),
    "steps": np.array(7, dtype="int64"),
    "empty": np.zeros((0, 3), dtype="float32"),
}


def saved(folder, shards, metadata=None):
    folder.mkdir()
    for number, names in enumerate(shards, start=1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_file({name: TENSORS[name] for name in names}, folder / file, metadata=metadata)
    return folder


def test_it_is_the_hash_of_name_dtype_shape_and_bytes_in_the_order_of_the_names(tmp_path):
    folder = saved(tmp_path / "model", [list(TENSORS)])
    digest = hashlib.sha256()
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            dtype = file.get_slice(name).get_dtype()
            description = json.dumps([name, dtype, list(tensor.shape), tensor.nbytes]).encode()
            digest.update(len(description).to_bytes(8, "little") + description + tensor.tobytes())
    assert weights_sha256(folder) == digest.hexdigest()


def test_sharding_and_file_metadata_do_not_matter(tmp_path):
    whole = weights_sha256(saved(tmp_path / "whole", [list(TENSORS)]))
    assert weights_sha256(saved(tmp_path / "shards", [["b.weight", "empty"], ["a.weight", "steps"]])) == whole
    assert weights_sha256(saved(tmp_path / "metadata", [list(TENSORS)], metadata={"format": "pt"})) == whole


def test_the_configuration_is_not_covered(tmp_path):
    folder = saved(tmp_path / "model", [["a.weight"]])
    before = weights_sha256(folder)
    (folder / "config.json").write_text("{}")
    assert weights_sha256(folder) == before


@pytest.mark.parametrize(
    "other",
    [
        {"w": np.array([[1, 2], [3, 5]], dtype="float32")},
        {"v": np.array([[1, 2], [3, 4]], dtype="float32")},
        {"w": np.array([[1, 2, 3, 4]], dtype="float32")},
        {"w": np.array([[1, 2], [3, 4]], dtype="float32").view("int32")},
        {"w": np.array([[1, 2], [3, 4]], dtype="float32"), "v": np.zeros(1)},
    ],
    ids=["value", "name", "shape", "dtype", "extra tensor"],
)
def test_any_change_of_a_tensor_changes_it(tmp_path, other):
    for name, tensors in (("one", {"w": np.array([[1, 2], [3, 4]], dtype="float32")}), ("other", other)):
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "model.safetensors")
    assert weights_sha256(tmp_path / "one") != weights_sha256(tmp_path / "other")


def test_an_adapter_is_hashed_too(make_folder):
    assert len(weights_sha256(make_folder(adapter=True))) == 64


def test_no_weights_is_an_error(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(InputError, match=r"no \*\.safetensors weights"):
        weights_sha256(tmp_path)


def test_shards_left_behind_by_an_earlier_save_are_an_error(tmp_path):
    folder = saved(tmp_path / "model", [["a.weight"]])
    save_file({"a.weight": TENSORS["a.weight"]}, folder / "model-00001-of-00002.safetensors")
    with pytest.raises(InputError, match=r"'a\.weight' is in both"):
        weights_sha256(folder)


def test_a_damaged_file_is_an_error(tmp_path):
    folder = saved(tmp_path / "model", [list(TENSORS)])
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-4])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        weights_sha256(folder)


def test_memory_does_not_grow_with_the_model(tmp_path):
    save_file({"w": np.zeros(8_000_000, dtype="float32")}, tmp_path / "model.safetensors")
    tracemalloc.start()
    weights_sha256(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16_000_000  # of 32 MB on disk
