"""Every unlearner on a device that is not the CPU: the CPU's weights, and no two devices in one operation."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification

from hf_privacy.adversarial import PixelSpace
from hf_privacy.data import TensorDataset
from hf_privacy.unlearning import UNLEARNERS, SPDGANConfig, perturbed_forget_set, train_spd_gan, unlearner_class

SETTINGS = {
    "parameter_perturbation": {"fraction": 0.1},
    "remi": {"approximator_epochs": 2},
    "ssd": {"selection_weight": 1.0, "dampening": 0.5},
}
ONE_SHOT = ("fisher", "ssd")


def unlearned(trainer_class, model, sets, make_args):
    name = trainer_class.unlearning_name
    epochs = {} if name in ONE_SHOT else {"num_train_epochs": 1}
    args = make_args(
        trainer_class.config_class,
        learning_rate=0.05,
        max_grad_norm=0.0,
        optim="adamw_torch",
        per_device_train_batch_size=16,
        **epochs,
        **SETTINGS.get(name, {}),
    )
    trainer = trainer_class(model, args, **sets)
    trainer.unlearn()
    return {key: parameter.detach().cpu() for key, parameter in trainer.model.named_parameters()}


@pytest.fixture(scope="module")
def small(digits) -> dict[str, TensorDataset]:
    rows = {"forget": range(12), "retain": range(12, 60), "heldout": range(60, 100)}
    return {f"{name}_dataset": digits.subset(numbers) for name, numbers in rows.items()}


@pytest.mark.parametrize("name", UNLEARNERS)
def test_an_unlearner_does_not_depend_on_where_the_model_lies(name, trained, small, make_args, second_device):
    here = unlearned(unlearner_class(name), copy.deepcopy(trained), small, make_args)
    with second_device(training=True) as device:
        there = unlearned(unlearner_class(name), copy.deepcopy(trained).to(device), small, make_args)
    assert any(not torch.equal(values, trained.get_parameter(key)) for key, values in here.items())
    for key, values in here.items():
        torch.testing.assert_close(there[key], values)


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
