"""The layer that scores the classes is found by its name, in every family, whatever the widths."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DeiTConfig,
    DeiTForImageClassificationWithTeacher,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    ResNetConfig,
    ResNetForImageClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.models.architectures import build_untrained, scratch_config, set_labels
from hf_privacy.models.head import class_parameters

# Every hidden layer is as wide as there are classes.
WIDTH = 4
TEXT = {"vocab_size": 9, "num_labels": WIDTH}
ENCODER = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": WIDTH, **TEXT}
IMAGES = {"image_size": 8, "patch_size": 4}


def tabular():
    return TabularMLPForClassification(
        TabularMLPConfig(input_size=WIDTH, hidden_sizes=[WIDTH, WIDTH], num_labels=WIDTH)
    )


def timm_resnet():
    config = scratch_config("timm/resnet10t", model_kwargs={})
    set_labels(config, num_labels=WIDTH)
    return build_untrained(config, task="image-classification")


MODELS = {
    "tabular": (tabular, {"classifier"}),
    "timm": (timm_resnet, {"timm_model.fc"}),
    "resnet": (
        lambda: ResNetForImageClassification(
            ResNetConfig(embedding_size=WIDTH, hidden_sizes=[WIDTH], depths=[1], num_labels=WIDTH)
        ),
        {"classifier.1"},
    ),
    "deit, distilled": (
        lambda: DeiTForImageClassificationWithTeacher(DeiTConfig(**{**ENCODER, **IMAGES})),
        {"cls_classifier", "distillation_classifier"},
    ),
    "bert": (lambda: BertForSequenceClassification(BertConfig(**ENCODER)), {"classifier"}),
    "roberta": (lambda: RobertaForSequenceClassification(RobertaConfig(**ENCODER)), {"classifier.out_proj"}),
    "deberta": (lambda: DebertaV2ForSequenceClassification(DebertaV2Config(**ENCODER)), {"classifier"}),
    "distilbert": (
        lambda: DistilBertForSequenceClassification(
            DistilBertConfig(dim=WIDTH, hidden_dim=WIDTH, n_layers=1, n_heads=1, **TEXT)
        ),
        {"classifier"},
    ),
    "gpt2": (
        lambda: GPT2ForSequenceClassification(GPT2Config(n_embd=WIDTH, n_layer=1, n_head=1, pad_token_id=0, **TEXT)),
        {"score"},
    ),
}


@pytest.mark.parametrize("family", MODELS)
def test_the_class_layer_is_the_one_of_that_name_where_all_layers_have_its_shape(family):
    build, expected = MODELS[family]
    assert {name.rpartition(".")[0] for name in class_parameters(build())} == expected


def test_under_an_adapter_it_is_the_copy_that_is_trained():
    model = RobertaForSequenceClassification(RobertaConfig(**ENCODER))
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", target_modules=["query"], r=2))
    found = class_parameters(model)
    assert {name for name in found if model.get_parameter(name).requires_grad} == found
    assert all(".classifier.modules_to_save.default.out_proj." in name for name in found)


def test_a_network_that_names_no_head_is_refused():
    with pytest.raises(InputError, match="no classification head is found"):
        class_parameters(torch.nn.Linear(2, 2))
