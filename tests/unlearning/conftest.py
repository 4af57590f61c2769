"""A model that has learnt some digits by heart, and the sets to make it forget a part of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_training
import torch

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification

QUIET = {**small_training.QUIET, "optim": "sgd"}


@pytest.fixture(scope="session")
def digits() -> TensorDataset:
    """500 real digits as 64 features, a fifth of the labels drawn at random."""
    return small_training.noisy_digits()


@pytest.fixture(scope="session")
def sets(digits: TensorDataset) -> dict[str, TensorDataset]:
    """Forget 25, retain 225, and 250 held out: the arguments of an unlearner."""
    return {
        "forget_dataset": digits.subset(range(25)),
        "retain_dataset": digits.subset(range(25, 250)),
        "heldout_dataset": digits.subset(range(250, 500)),
    }


@pytest.fixture(scope="session")
def originals(digits: TensorDataset, tmp_path_factory: pytest.TempPathFactory) -> list[torch.nn.Module]:
    """Five models trained on the forget and the retain set, a seed each; not to be changed."""
    config = TabularMLPConfig(input_size=64, hidden_sizes=[64], num_labels=10)
    models = []
    for seed in range(42, 47):
        args = PrivacyConfig(
            str(tmp_path_factory.mktemp("original")),
            learning_rate=0.2,
            num_train_epochs=60,
            per_device_train_batch_size=25,
            seed=seed,
            **QUIET,
        )
        trainer = PrivacyTrainer(
            model_init=lambda: TabularMLPForClassification(config), args=args, train_dataset=digits.subset(range(250))
        )
        trainer.train()
        models.append(trainer.model)
    return models


@pytest.fixture
def trained(originals: list[torch.nn.Module]) -> torch.nn.Module:
    """A copy of the model that was trained on the forget and the retain set."""
    return copy.deepcopy(originals[0])


@pytest.fixture
def make_args(tmp_path: Path) -> Callable[..., Any]:
    """Give a function that makes an unlearner's arguments: ``make_args(NegGradPlusConfig, beta=0.9)``."""

    def make(config_class: type, **arguments: Any) -> Any:
        return config_class(
            **{**QUIET, "output_dir": str(tmp_path / "run"), "per_device_train_batch_size": 25, **arguments}
        )

    return make
