"""Small models of every kind, and one trained on real digits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    ResNetConfig,
    RobertaConfig,
    ViTConfig,
)

from hf_privacy.adversarial import EmbeddingSpace, FeatureSpace, PixelSpace, input_space
from hf_privacy.data import encode_images, image_processor_for, load_digits_dataset
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification, load_model

_TEXT = {"vocab_size": 20, "pad_token_id": 0, "num_labels": 3}
_ENCODER = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
_IMAGE = {"num_channels": 1, "num_labels": 3}
TEXTS = {
    "bert": lambda: BertConfig(**_TEXT, **_ENCODER),
    "roberta": lambda: RobertaConfig(**_TEXT, **_ENCODER),
    "distilbert": lambda: DistilBertConfig(**_TEXT, dim=16, n_layers=1, n_heads=2, hidden_dim=16),
    "gpt2": lambda: GPT2Config(
        **_TEXT, n_embd=16, n_layer=1, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=1
    ),
}
IMAGES = {
    "resnet": lambda: ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", **_IMAGE),
    "vit": lambda: ViTConfig(image_size=8, patch_size=4, hidden_dropout_prob=0.3, **_ENCODER, **_IMAGE),
}
_TIMM = {"img_size": 8, "patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2, "in_chans": 1}


@pytest.fixture(scope="session")
def model_of():
    """From a name to an untrained classifier with 3 classes, in training mode."""

    def build(name: str) -> torch.nn.Module:
        torch.manual_seed(0)
        if name.startswith("lora-"):
            target = {"bert": ["query", "value"], "vit": ["q_proj", "v_proj"]}[name[5:]]
            return get_peft_model(build(name[5:]), LoraConfig(target_modules=target, r=2)).train()
        if name == "tabular":
            config = TabularMLPConfig(input_size=6, hidden_sizes=[8], num_labels=3, dropout=0.3, activation="gelu")
            return TabularMLPForClassification(config).train()
        if name == "timm":
            return load_model(
                "timm:vit_tiny_patch16_224",
                task="image-classification",
                num_labels=3,
                from_scratch=True,
                model_kwargs=_TIMM,
                seed=0,
            )
        if name in TEXTS:
            return AutoModelForSequenceClassification.from_config(TEXTS[name]()).train()
        return AutoModelForImageClassification.from_config(IMAGES[name]()).train()

    return build


@pytest.fixture(scope="session")
def batch_of():
    """From a model's name to five examples, their labels and the space they are attacked in."""

    def build(name: str) -> SimpleNamespace:
        name = name.removeprefix("lora-")
        generator = torch.Generator().manual_seed(1)
        labels = torch.tensor([0, 1, 2, 0, 1])
        if name == "tabular":
            return SimpleNamespace(
                inputs={"features": torch.rand(5, 6, generator=generator)}, labels=labels, space=FeatureSpace(0.0, 1.0)
            )
        if name in TEXTS:
            ids = torch.randint(2, 20, (5, 7), generator=generator)
            mask = torch.ones_like(ids)
            for row, length in enumerate([7, 3, 5, 4, 7]):
                gone = slice(0, 7 - length) if name == "gpt2" else slice(length, 7)
                mask[row, gone], ids[row, gone] = 0, 0
            return SimpleNamespace(
                inputs={"input_ids": ids, "attention_mask": mask}, labels=labels, space=EmbeddingSpace()
            )
        pixels = torch.rand(5, 1, 8, 8, generator=generator)
        return SimpleNamespace(
            inputs={"pixel_values": (pixels - 0.4) / 0.25}, labels=labels, space=PixelSpace((0.4,), (0.25,))
        )

    return build


@pytest.fixture(scope="session")
def digits() -> SimpleNamespace:
    """A small ResNet trained on 1,200 digits, and 300 others with their space."""
    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_channels=1, num_labels=10
    )
    model = AutoModelForImageClassification.from_config(config)
    processor = image_processor_for(model, size=8, mean=[0.3], std=[0.35])
    encoded = encode_images(load_digits_dataset(), processor)
    train, test = encoded.__getitems__(range(1200)), encoded.__getitems__(range(1200, 1500))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(4):
        for rows in torch.randperm(1200).split(60):
            loss = model(pixel_values=train["pixel_values"][rows], labels=train["labels"][rows]).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    inputs = {"pixel_values": test["pixel_values"]}
    return SimpleNamespace(
        model=model,
        processor=processor,
        inputs=inputs,
        labels=test["labels"],
        space=input_space(model, processor, inputs=inputs),
    )


@pytest.fixture(scope="session")
def accuracy():
    """Share of a batch that a model in evaluation mode gets right at the given points."""

    def share(model, points, batch) -> float:
        with torch.no_grad():
            logits = model(**batch.space.inputs(points, batch.inputs)).logits
        return float((logits.argmax(dim=1) == batch.labels).float().mean())

    return share
