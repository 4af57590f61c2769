"""Batches made on a device are those of the host, to the bit, and a step with them waits for nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from second_device import StepWaits, second_device
from torch.utils.data import DataLoader

from hf_privacy.data import RandomFlipCrop, TensorDataset, collate_batch
from hf_privacy.data.encoded_store import StoredArray
from hf_privacy.data.pixel_levels import Levels
from hf_privacy.data.stored_columns import LevelRows
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base import device_loader
from hf_privacy.defenses.base.device_loader import DeviceLoader


@pytest.fixture
def stored_images(tmp_path):
    """24 grey images stored as levels, flipped and cropped at random; a view of 30 that turns their order round."""
    generator = np.random.default_rng(0)
    np.save(tmp_path / "levels.npy", generator.integers(0, 256, (30, 1, 8, 8), dtype=np.uint8))
    table = ((np.arange(256, dtype=np.float32) / 255 - np.float32(0.5)) / np.float32(0.25))[None]
    pixels = LevelRows(StoredArray(tmp_path / "levels.npy"), Levels(table))
    dataset = TensorDataset({"pixel_values": pixels, "labels": torch.arange(30) % 3})
    return dataset.subset(range(29, 5, -1)).with_augmentation(RandomFlipCrop(2))


@pytest.mark.parametrize("fits", [True, False])
def test_batches_are_those_of_the_plain_loader_and_so_is_what_is_drawn_after(fits, stored_images, monkeypatch):
    monkeypatch.setattr(device_loader, "_fits", lambda dataset, device: fits)
    monkeypatch.setattr(device_loader, "_BLOCK", 300)  # bytes: the rows are copied some at a time
    cut = {"batch_sampler": [[3, 0, 23], [5], [7, 7]], "collate_fn": collate_batch}
    found = []
    for loader in (DataLoader(stored_images, **cut), DeviceLoader(stored_images, torch.device("cpu"), **cut)):
        torch.manual_seed(4)
        found.append((list(loader), torch.rand(3)))
    assert len(found[0][0]) == 3
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


@pytest.mark.parametrize("fits", [True, False])
def test_training_on_a_device_waits_for_no_batch_and_gives_the_same_weights(
    fits, stored_images, monkeypatch, make_args, model_of
):
    monkeypatch.setattr(device_loader, "_fits", lambda dataset, device: fits)
    start, waits = model_of("vit"), StepWaits()
    loaders = []

    class Noting(PrivacyTrainer):
        def get_train_dataloader(self):
            loaders.append(super().get_train_dataloader())
            return loaders[-1]

    def trained(model):
        # Adam's own ε makes a whole step of a gradient that is nothing but rounding.
        args = make_args(
            num_train_epochs=2, optim="adamw_torch", max_grad_norm=0.0, learning_rate=0.1, adam_epsilon=1.0
        )
        trainer = Noting(model, args, train_dataset=stored_images)
        trainer.add_callback(waits)
        trainer.train()
        return {name: parameter.detach().cpu() for name, parameter in trainer.model.named_parameters()}

    here = trained(copy.deepcopy(start))
    with second_device(training=True) as device:
        there = trained(copy.deepcopy(start).to(device))
    assert [type(loader) for loader in loaders] == [DataLoader, DeviceLoader]
    assert waits.of_steps[1] == []
    for name, values in here.items():
        torch.testing.assert_close(there[name], values, rtol=1e-4, atol=1e-5)


def test_rows_that_take_more_than_a_share_of_the_device_stay_on_the_host(stored_images, monkeypatch):
    asked = torch.device("cuda")
    rows = 24 * (64 + 8)  # a byte a pixel, and a label
    for free, fits in ((rows * 8, True), (rows * 8 - 8, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert device_loader._fits(stored_images.unscaled(), asked) is fits
