"""A recipe's precision, four bits and GGUF file: refused by name, or the model's of target and references alike."""

from __future__ import annotations

import pytest
import torch
from datasets import Dataset
from language_models import COMMON, logits, moved, scratch, tokenizer
from small_training import RESNET
from tiny_tokenizers import byte_level
from transformers import AutoModelForCausalLM, LlamaConfig

from hf_privacy.errors import InputError
from hf_privacy.models import load_model, load_saved_model
from hf_privacy.recipe import Recipe, prepare


@pytest.fixture
def recipe(tmp_path):
    def make(vocabulary: int | None = None, **model) -> Recipe:
        encoder = byte_level(pad="<pad>")
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = LlamaConfig(vocab_size=vocabulary or len(encoder), **sizes)
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
        encoder.save_pretrained(tmp_path / "base")
        Dataset.from_dict({"text": [f"it is {number}." for number in range(12)]}).to_parquet(tmp_path / "rows.parquet")
        return Recipe.from_dict(
            {
                "task": "causal-lm",
                "output_dir": str(tmp_path / "run"),
                "model": {"name_or_path": str(tmp_path / "base"), **model},
                "data": {"name_or_path": str(tmp_path / "rows.parquet")},
                "training": {"use_cpu": True},
                "audit": {"depth": "quick"},
            }
        )

    return make


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"dtype": "float16"}, "model.dtype is 'float16': pass one of float32, bfloat16"),
        ({"quantization": "int4"}, "model.quantization is 'int4': pass one of None, nf4"),
        ({"quantization": "nf4"}, "model.quantization is 'nf4' without model.lora"),
    ],
)
def test_what_no_model_is_opened_in_is_refused_without_the_model(model, message):
    with pytest.raises(InputError, match=message):
        Recipe.from_dict({"model": model})


@pytest.mark.parametrize("lora", [None, {"r": 2}])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_target_references_and_what_is_saved_are_in_the_recipes_precision(recipe, lora, dtype, tmp_path):
    experiment = prepare(recipe(dtype=dtype, lora=lora))
    for number in range(2):
        model = experiment.model_init()
        frozen = {p.dtype for p in model.parameters() if lora is None or not p.requires_grad}
        assert frozen == {getattr(torch, dtype)}
        model.save_pretrained(tmp_path / str(number))
        again = load_saved_model(tmp_path / str(number))
        assert {p.dtype for n, p in again.named_parameters() if "lora" not in n} == frozen


def test_four_bits_are_refused_without_a_gpu(recipe, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="has no CUDA GPU"):
        prepare(recipe(quantization="nf4", lora={"r": 2}))


def test_a_gguf_file_that_is_not_there_is_refused(recipe, monkeypatch):
    monkeypatch.setattr("hf_privacy.models.checkpoint.find_spec", lambda name: "found")
    with pytest.raises(InputError, match=r"holds no model\.gguf"):
        prepare(recipe(gguf_file="model.gguf"))


def test_the_tokenizer_of_another_model_is_refused(recipe):
    with pytest.raises(InputError, match=r"the tokenizer knows \d+ tokens and the model embeds 8"):
        prepare(recipe(vocabulary=8))


@pytest.mark.parametrize(("name", "value"), [("dtype", "bfloat16"), ("gguf_file", "model.gguf")])
def test_a_classifier_takes_none_of_them(name, value):
    recipe = Recipe.from_dict({"model": {**RESNET, name: value}, "training": {"use_cpu": True}})
    with pytest.raises(InputError, match=rf"model\.{name} is '{value}' and the task is image-classification"):
        prepare(recipe)


def test_a_gguf_file_is_trained_saved_and_adapted_as_any_other(tmp_path):
    """Where the package gguf is: a Llama of random weights, written as llama.cpp lays one out."""
    gguf = pytest.importorskip("gguf")
    model = scratch("llama")
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_vocab_size(COMMON["vocab_size"])
    writer.add_context_length(COMMON["max_position_embeddings"])
    writer.add_embedding_length(COMMON["hidden_size"])
    writer.add_block_count(COMMON["num_hidden_layers"])
    writer.add_feed_forward_length(COMMON["intermediate_size"])
    writer.add_head_count(COMMON["num_attention_heads"])
    writer.add_head_count_kv(COMMON["num_key_value_heads"])
    writer.add_rope_dimension_count(COMMON["head_dim"])
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, COMMON["num_hidden_layers"])
    for name, tensor in model.state_dict().items():
        for part, heads in (("q_proj", COMMON["num_attention_heads"]), ("k_proj", COMMON["num_key_value_heads"])):
            if part in name:  # rotary pairs lie side by side there, in halves here
                tensor = tensor.view(heads, 2, -1, tensor.shape[1]).transpose(1, 2).reshape(tensor.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    words = tokenizer(pad_token="</s>")
    opened = load_model(tmp_path, task="causal-lm", gguf_file="model.gguf", tokenizer=words)
    assert torch.equal(logits(opened), logits(model))
    opened.save_pretrained(tmp_path / "full")
    assert torch.equal(logits(load_saved_model(tmp_path / "full")), logits(model))
    more = {"lora": {"r": 2}, "tokenizer": words}
    adapter = moved(load_model(tmp_path, task="causal-lm", gguf_file="model.gguf", seed=0, **more))
    adapter.save_pretrained(tmp_path / "adapter")
    words.save_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(load_saved_model(tmp_path / "adapter")), logits(adapter))
