"""Tiny untrained models with data to train them on, and arguments that print, log and save nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_training import QUIET, noisy_digits
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    BertConfig,
    ConvNextConfig,
    DeiTConfig,
    DeiTForImageClassification,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedModel,
    ResNetConfig,
    RobertaConfig,
    ViTConfig,
)

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification, load_model

N_CLASSES = 3
_TEXT = {"vocab_size": 20, "pad_token_id": 0, "num_labels": N_CLASSES}
_ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
_NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_VIT = {**_ENCODER, **_NO_DROPOUT, "image_size": 8, "patch_size": 4, "num_channels": 1, "num_labels": N_CLASSES}
TEXT_CONFIGS = {
    "bert": lambda: BertConfig(**_TEXT, **_ENCODER, **_NO_DROPOUT),
    "roberta": lambda: RobertaConfig(**_TEXT, **_ENCODER, **_NO_DROPOUT),
    "distilbert": lambda: DistilBertConfig(
        **_TEXT,
        dim=16,
        n_layers=1,
        n_heads=2,
        hidden_dim=16,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
    ),
    "gpt2": lambda: GPT2Config(
        **_TEXT, n_embd=16, n_layer=1, n_head=2, n_positions=16, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    ),
    "llama": lambda: LlamaConfig(**_TEXT, **_ENCODER, max_position_embeddings=16),
}
_CONV = {"num_channels": 1, "hidden_sizes": [8, 8], "depths": [1, 1], "num_labels": N_CLASSES}
IMAGE_CONFIGS = {
    "resnet": lambda: ResNetConfig(embedding_size=8, layer_type="basic", **_CONV),
    "vit": lambda: ViTConfig(**_VIT),
    "convnext": lambda: ConvNextConfig(num_stages=2, patch_size=2, layer_scale_init_value=1.0, **_CONV),
}
_TIMM_VIT = {"img_size": 8, "patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2, "in_chans": 1}


def tiny_model(name: str, *, seed: int = 0) -> PreTrainedModel:
    """An untrained classifier with 3 classes and without dropout; the same for the same seed."""
    torch.manual_seed(seed)
    scratch = {"num_labels": N_CLASSES, "from_scratch": True, "seed": seed}
    if name == "timm":
        name, task = "timm:vit_tiny_patch16_224", "image-classification"
        return load_model(name, task=task, model_kwargs=_TIMM_VIT, **scratch)
    if name == "tabular":
        sizes = {"input_size": 4, "hidden_sizes": [8]}
        return load_model("hf_privacy_tabular_mlp", task="tabular-classification", model_kwargs=sizes, **scratch)
    if name == "deit":
        return DeiTForImageClassification(DeiTConfig(**_VIT))
    if name in TEXT_CONFIGS:
        return AutoModelForSequenceClassification.from_config(TEXT_CONFIGS[name]())
    return AutoModelForImageClassification.from_config(IMAGE_CONFIGS[name]())


class RecordingDataset(TensorDataset):
    """Keeps the row numbers of every batch that is drawn, in `drawn`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.drawn: list[list[int]] = []

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        self.drawn.append(list(indices))
        return super().__getitems__(indices)


def tiny_data(name: str, n: int = 8, *, seed: int = 1) -> RecordingDataset:
    """Random examples for `tiny_model(name)`; text has rows of different lengths, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % N_CLASSES
    if name == "tabular":
        return RecordingDataset({"features": torch.randn(n, 4, generator=generator), "labels": labels})
    if name not in TEXT_CONFIGS:
        return RecordingDataset({"pixel_values": torch.randn(n, 1, 8, 8, generator=generator), "labels": labels})
    lengths = torch.randint(3, 9, (n,), generator=generator)
    mask = (torch.arange(8) < lengths[:, None]).long()
    tokens = torch.randint(3, 20, (n, 8), generator=generator) * mask
    columns = {"input_ids": tokens, "attention_mask": mask, "labels": labels}
    return RecordingDataset(columns, padding_side="right", sequence_columns=["input_ids", "attention_mask"])


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

    def make(name: str) -> Any:
        folder = tmp_path / f"base-{name}"
        tiny_model(name).save_pretrained(folder)
        task = "text-classification" if name in TEXT_CONFIGS else "image-classification"
        targets = {"timm": ["qkv"], "vit": ["q_proj", "v_proj"], "bert": ["query", "value"]}[name]
        lora = {"r": 2, "target_modules": targets}
        return load_model(folder, task=task, num_labels=N_CLASSES, lora=lora, seed=0)

    return make
