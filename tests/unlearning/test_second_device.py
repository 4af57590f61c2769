"""SPD-GAN on a device that is not the CPU: the same perturbations, and no two devices in one operation."""

from __future__ import annotations

import copy

import torch
from transformers import ResNetConfig, ResNetForImageClassification

from hf_privacy.adversarial import PixelSpace
from hf_privacy.data import TensorDataset
from hf_privacy.unlearning import SPDGANConfig, perturbed_forget_set, train_spd_gan


def test_spd_gan_does_not_depend_on_where_the_classifier_lies(second_device):
    torch.manual_seed(0)
    sizes = {"num_channels": 1, "embedding_size": 4, "hidden_sizes": [4], "depths": [1], "num_labels": 3}
    classifier = ResNetForImageClassification(ResNetConfig(layer_type="basic", **sizes)).eval()
    data = TensorDataset({"pixel_values": torch.rand(24, 1, 8, 8), "labels": torch.arange(24) % 3})
    sets = {"forget_dataset": data.subset(range(8)), "retain_dataset": data.subset(range(8, 24))}
    config = SPDGANConfig(width=4, n_blocks=1, num_train_epochs=2, batch_size=4)
    options = {"space": PixelSpace((0.0,), (1.0,)), "config": config}
    here = train_spd_gan(**sets, retain_classifier=copy.deepcopy(classifier), **options)
    changed_here = perturbed_forget_set(here, sets["forget_dataset"]).column("pixel_values")
    with second_device() as device:
        there = train_spd_gan(**sets, retain_classifier=classifier.to(device), **options)
        changed_there = perturbed_forget_set(there, sets["forget_dataset"]).column("pixel_values")
        assert next(there.parameters()).device == device
    torch.testing.assert_close(changed_there, changed_here)
