"""Masks come back from disk as they went."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from hf_privacy.errors import InputError
from hf_privacy.weights import load_mask, mask_digest, save_mask


def test_a_mask_comes_back_with_names_order_shapes_and_entries(tmp_path):
    shapes = {"z": (3, 5), "a": (17,), "scalar": (), "none": (0, 4)}
    mask = {name: torch.rand(shape) < 0.5 for name, shape in shapes.items()}
    mask["transposed"] = mask["z"].t()
    save_mask(mask, tmp_path / "new" / "mask.safetensors")
    again = load_mask(tmp_path / "new" / "mask.safetensors")
    assert list(again) == list(mask)
    for name, selected in mask.items():
        assert again[name].dtype == torch.bool
        assert torch.equal(again[name], selected), name
    assert mask_digest(again) == mask_digest(mask)


def test_a_mask_takes_one_bit_an_entry(tmp_path):
    save_mask({"w": torch.ones(1000, 800, dtype=torch.bool)}, tmp_path / "mask.safetensors")
    assert (tmp_path / "mask.safetensors").stat().st_size < 101_000


def test_the_digest_tells_names_shapes_and_entries_apart():
    mask = torch.tensor([[True, False], [False, False]])
    digests = [mask_digest({"w": mask}), mask_digest({"v": mask}), mask_digest({"w": mask.view(4)})]
    digests.append(mask_digest({"w": mask.t().flip(0)}))
    assert len(set(digests)) == 4


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_mask(tmp_path / "mask.safetensors")
    (tmp_path / "text").write_text("mask")
    with pytest.raises(InputError, match="no safetensors file"):
        load_mask(tmp_path / "text")
    save_file({"w": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="holds no weight mask"):
        load_mask(tmp_path / "weights.safetensors")
