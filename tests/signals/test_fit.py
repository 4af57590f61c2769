"""One dry forward: what the model cannot take is said before it is trained."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BartConfig,
    BartForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.signals import check_fit, position_limit

SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 20}
TEXT = {
    "bert": lambda: BertForSequenceClassification(BertConfig(**SMALL, max_position_embeddings=12)),
    "roberta": lambda: RobertaForSequenceClassification(
        RobertaConfig(**SMALL, max_position_embeddings=14, pad_token_id=1)
    ),
    "gpt2": lambda: GPT2ForSequenceClassification(
        GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=12, vocab_size=20, pad_token_id=1)
    ),
    "bart": lambda: BartForSequenceClassification(
        BartConfig(
            vocab_size=20,
            max_position_embeddings=12,
            d_model=8,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=8,
            decoder_ffn_dim=8,
            num_labels=2,
            pad_token_id=1,
            eos_token_id=2,
        )
    ),
}


def texts(length: int, largest: int = 19) -> TensorDataset:
    ids = torch.full((3, length), 3)
    ids[0, 0] = largest
    ids[:, -1] = 2  # BART looks for it
    tensors = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0, 1, 0])}
    return TensorDataset(tensors, padding_side="right", sequence_columns=["input_ids", "attention_mask"])


@pytest.mark.parametrize("build", TEXT.values(), ids=TEXT)
def test_every_length_up_to_the_limit_fits_and_none_above(build):
    model = build()
    assert position_limit(model) == 12
    check_fit(model, texts(12))
    with pytest.raises(InputError, match=r"the longest text has 13 tokens and .* has positions for 12"):
        check_fit(model, texts(13))
    with pytest.raises(InputError, match="token ids go up to 20 and the model embeds 20"):
        check_fit(model, texts(5, largest=20))


def tabular(**settings):
    return TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[4], num_labels=2, **settings))


def table(width: int = 4, labels=(0, 1)) -> TensorDataset:
    return TensorDataset({"features": torch.zeros(2, width), "labels": torch.tensor(labels)})


def test_features_and_labels_must_be_the_models():
    check_fit(tabular(), table())
    with pytest.raises(InputError, match="TabularMLPForClassification cannot take features of shape 5"):
        check_fit(tabular(), table(5))
    for labels in ((0, 2), (-1, 1)):
        with pytest.raises(InputError, match=r"labels go from .* and the model has 2 classes \(0 to 1\)"):
            check_fit(tabular(), table(labels=labels))
    with pytest.raises(InputError, match=r"labels have shape \(2,\) and type float32"):
        check_fit(tabular(), table(labels=(0.0, 1.0)))


def test_images_must_be_of_the_models_size_and_channels():
    small = {name: value for name, value in SMALL.items() if name != "vocab_size"}
    model = ViTForImageClassification(ViTConfig(**small, image_size=8, patch_size=4, num_channels=1))
    check_fit(model, TensorDataset({"pixel_values": torch.zeros(2, 1, 8, 8), "labels": torch.tensor([0, 1])}))
    for shape in ((1, 12, 12), (3, 8, 8)):
        with pytest.raises(InputError, match="cannot take pixel_values of shape " + "×".join(map(str, shape))):
            check_fit(model, TensorDataset({"pixel_values": torch.zeros(2, *shape)}))


def test_weights_that_are_no_numbers_are_said():
    model = tabular()
    next(model.parameters()).data.fill_(float("nan"))
    with pytest.raises(InputError, match="NaN or infinite logits before any training"):
        check_fit(model, table())


def test_nothing_is_left_changed():
    model = tabular().train()
    state = torch.get_rng_state()
    check_fit(model, table())
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)


def test_the_random_state_stays_as_it_was_though_an_augmentation_draws():
    model = TabularMLPForClassification(TabularMLPConfig(input_size=4, num_labels=3))
    drawn = []
    dataset = TensorDataset({"pixel_values": torch.zeros(2, 1, 2, 2)}).with_augmentation(
        lambda pixels: drawn.append(torch.rand(1)) or pixels
    )
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with pytest.raises(InputError, match="cannot take pixel_values"):
        check_fit(model, dataset)
    assert drawn
    assert torch.equal(torch.get_rng_state(), before)
