"""Which weights are convolution, linear, attention and norm, in models as transformers and timm build them."""

from __future__ import annotations

import pytest
import timm
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    GPT2Config,
    LlamaConfig,
    ResNetConfig,
    ResNetForImageClassification,
)

from hf_privacy.errors import InputError
from hf_privacy.weights import weight_kinds, which_weights

_SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
_TEXT = {"vocab_size": 11, "num_labels": 2, "pad_token_id": 0}


def bert():
    return AutoModelForSequenceClassification.from_config(BertConfig(**_TEXT, **_SIZES))


def test_bert_has_attention_linear_norm_and_embedding_weights():
    kinds = weight_kinds(bert())
    layer = "bert.encoder.layer.0."
    assert kinds[layer + "attention.self.query.weight"] == "attention"
    assert kinds[layer + "attention.output.dense.weight"] == "attention"
    assert kinds[layer + "attention.output.LayerNorm.weight"] == "norm"
    assert kinds[layer + "intermediate.dense.weight"] == "linear"
    assert kinds["bert.embeddings.word_embeddings.weight"] == "embedding"
    assert kinds["classifier.weight"] == "linear"


def test_a_timm_vit_has_all_four_kinds_and_a_class_token():
    kinds = weight_kinds(timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, embed_dim=12, num_heads=2))
    assert kinds["patch_embed.proj.weight"] == "conv"
    assert kinds["blocks.0.attn.qkv.weight"] == "attention"
    assert kinds["blocks.0.mlp.fc1.weight"] == "linear"
    assert kinds["blocks.0.norm1.weight"] == "norm"
    assert kinds["head.weight"] == "linear"
    assert kinds["cls_token"] == kinds["pos_embed"] == "other"


def test_gpt2_conv1d_is_a_linear_layer_and_llama_brings_its_own_norm():
    gpt2 = weight_kinds(
        AutoModelForSequenceClassification.from_config(GPT2Config(**_TEXT, n_embd=8, n_layer=1, n_head=2))
    )
    assert gpt2["transformer.h.0.attn.c_attn.weight"] == "attention"
    assert gpt2["transformer.h.0.mlp.c_fc.weight"] == "linear"
    llama = weight_kinds(AutoModelForSequenceClassification.from_config(LlamaConfig(**_TEXT, **_SIZES)))
    assert llama["model.layers.0.input_layernorm.weight"] == "norm"
    assert llama["model.layers.0.self_attn.q_proj.weight"] == "attention"


def test_by_default_every_layers_weight_is_taken_and_no_bias():
    config = ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], layer_type="basic", num_labels=2)
    model = ResNetForImageClassification(config)
    assert set(which_weights(model)) == {name for name, _ in model.named_parameters() if name.endswith(".weight")}
    with_biases = set(which_weights(model, biases=True)) - set(which_weights(model))
    assert with_biases == {name for name, _ in model.named_parameters() if name.endswith(".bias")}


def test_multihead_attention_of_pytorch_is_attention():
    model = nn.ModuleDict({"mix": nn.MultiheadAttention(4, 2, add_bias_kv=True)})
    assert which_weights(model, kinds=["attention"]) == ["mix.in_proj_weight", "mix.out_proj.weight"]
    assert "mix.bias_k" in which_weights(model, kinds=["attention"], biases=True)


def test_the_class_name_of_the_whole_model_says_nothing_of_its_layers():
    class AttentionNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2, 2)

    assert weight_kinds(AttentionNet())["head.weight"] == "linear"


def test_under_lora_only_the_adapter_and_the_head_are_taken_and_lora_counts_as_linear():
    config = LoraConfig(r=2, target_modules=["query", "value"], modules_to_save=["classifier"], task_type="SEQ_CLS")
    model = get_peft_model(bert(), config)
    names = which_weights(model)
    assert len(names) == 5
    assert all("lora_" in name or "classifier.modules_to_save" in name for name in names)
    assert {weight_kinds(model)[name] for name in names} == {"linear"}
    assert len(which_weights(model, trainable_only=False)) > 5


def test_a_tied_weight_stands_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert which_weights(model) == ["0.weight"]


def test_bad_kinds_are_refused():
    model = nn.Linear(2, 2)
    for kinds in (["dense"], "linear", []):
        with pytest.raises(InputError, match="kinds is"):
            which_weights(model, kinds=kinds)
    with pytest.raises(InputError, match="has no trainable weights of such layers"):
        which_weights(model, kinds=["conv"])
    with pytest.raises(InputError, match="has no trainable weights"):
        which_weights(nn.Linear(2, 2).requires_grad_(False))
