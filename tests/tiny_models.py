"""Tiny untrained models of every kind, and data for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
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
from hf_privacy.models import load_model

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


def tiny_lora_model(name: str, folder: Path) -> Any:
    """`tiny_model`, saved in a folder and loaded from there with an adapter."""
    tiny_model(name).save_pretrained(folder)
    task = "text-classification" if name in TEXT_CONFIGS else "image-classification"
    targets = {"timm": ["qkv"], "vit": ["q_proj", "v_proj"], "bert": ["query", "value"]}[name]
    return load_model(folder, task=task, num_labels=N_CLASSES, lora={"r": 2, "target_modules": targets}, seed=0)
