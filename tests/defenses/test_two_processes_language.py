"""Defences of language models on two real processes under torchrun."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from defended_language import ALL, AS_ONE, trainer_of, weights_of
from safetensors.torch import load_file
from torchrun import on_two_processes


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes")
    on_two_processes(Path(__file__).with_name("two_processes_language.py"), folder)
    return folder


@pytest.mark.parametrize("name", ALL)
def test_both_processes_end_with_the_same_weights_and_those_of_a_base_are_what_they_were(
    name, two_processes, tmp_path
):
    first, second = (load_file(two_processes / f"{name}-rank{rank}.safetensors") for rank in (0, 1))
    untrained = trainer_of(name, tmp_path, batch_size=8)
    trainable = {key for key, weight in untrained.model.named_parameters() if weight.requires_grad}
    for key, weight in weights_of(untrained).items():
        assert torch.equal(first[key], second[key])
        assert torch.equal(first[key], weight) != (key in trainable)


@pytest.mark.parametrize("name", AS_ONE)
def test_they_take_the_steps_that_one_process_takes(name, two_processes, tmp_path):
    alone = trainer_of(name, tmp_path, batch_size=16)
    alone.train()
    together = load_file(two_processes / f"{name}-rank0.safetensors")
    for key, weight in weights_of(alone).items():
        torch.testing.assert_close(together[key], weight, rtol=1e-4, atol=1e-5)
