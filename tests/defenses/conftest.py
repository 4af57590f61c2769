"""Tiny untrained models with data to train them on, and arguments that print, log and save nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_training import QUIET, noisy_digits
from tiny_models import RecordingDataset, tiny_data, tiny_lora_model, tiny_model
from transformers import PreTrainedModel

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification


@pytest.fixture(scope="session", autouse=True)
def short_garbage_collections() -> Iterator[None]:
    """Each train() begins with a collection, 0.3 s long when it walks through all that the imports made."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", name="noisy_digits")
def _noisy_digits() -> TensorDataset:
    """500 real digits, a fifth of the labels drawn at random: whoever trains on the first 250 has to memorize."""
    return noisy_digits()


@pytest.fixture
def memorizer(noisy_digits: TensorDataset) -> Callable[..., Any]:
    """Give a function that trains an MLP on the first 250 digits: ``memorizer(HAMPTrainer, args)``."""

    def train(trainer_class: type[PrivacyTrainer], args: PrivacyConfig) -> PrivacyTrainer:
        config = TabularMLPConfig(input_size=64, hidden_sizes=[64], num_labels=10)
        trainer = trainer_class(
            model_init=lambda: TabularMLPForClassification(config),
            args=args,
            train_dataset=noisy_digits.subset(range(250)),
        )
        trainer.train()
        return trainer

    return train


@pytest.fixture
def model_of() -> Callable[..., PreTrainedModel]:
    return tiny_model


@pytest.fixture
def data_of() -> Callable[..., RecordingDataset]:
    return tiny_data


@pytest.fixture
def make_args(tmp_path: Path) -> Callable[..., PrivacyConfig]:
    """Give a function that makes arguments: ``make_args(max_steps=1)``, ``make_args(CCLConfig, alpha=0.5)``."""

    def make(config_class: type[PrivacyConfig] = PrivacyConfig, **arguments: Any) -> PrivacyConfig:
        return config_class(**{**QUIET, "output_dir": str(tmp_path / "run"), **arguments})

    return make


@pytest.fixture
def lora_model_of(tmp_path: Path) -> Callable[[str], Any]:
    """Give a function that saves a tiny model and loads it with an adapter: ``lora_model_of("bert")``."""
    return lambda name: tiny_lora_model(name, tmp_path / f"base-{name}")
