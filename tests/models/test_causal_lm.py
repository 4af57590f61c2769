"""Causal language models: built, adapted, saved, loaded back; their task is told by their class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from hf_privacy.errors import InputError
from hf_privacy.models import base_of, load_model, load_saved_model
from hf_privacy.models.architectures import find_task

COMMON = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
NO_HEAD_DIM = {name: size for name, size in COMMON.items() if name != "head_dim"}
GPT2 = {
    "vocab_size": 40,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Gemma 2 scales its embeddings and caps its scores; the caps are small here so that they are felt.
MODELS = {
    "gpt2": ("gpt2", GPT2),
    "llama": ("llama", {**COMMON, "tie_word_embeddings": False}),
    "llama tied": ("llama", {**COMMON, "tie_word_embeddings": True}),
    "qwen2": ("qwen2", {**NO_HEAD_DIM, "tie_word_embeddings": True}),
    "gemma2": (
        "gemma2",
        {**COMMON, "final_logit_softcapping": 0.5, "attn_logit_softcapping": 0.5, "sliding_window": 8},
    ),
}


def scratch(kind: str, **more) -> torch.nn.Module:
    """An untrained model with weights large enough that every part shows in the logits."""
    name, sizes = MODELS[kind]
    model = load_model(name, task="causal-lm", from_scratch=True, model_kwargs=sizes, seed=0, **more)
    with torch.no_grad():
        for number, (_, parameter) in enumerate(sorted(model.named_parameters())):
            generator = torch.Generator().manual_seed(number)
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def logits(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


@pytest.fixture(params=list(MODELS))
def kind(request) -> str:
    return request.param


def moved(adapter: torch.nn.Module) -> torch.nn.Module:
    """The adapter with every trainable weight moved."""
    with torch.no_grad():
        for number, parameter in enumerate(p for p in adapter.parameters() if p.requires_grad):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return adapter


def test_a_model_from_scratch_comes_back_from_its_folder(kind, tmp_path):
    model = scratch(kind)
    model.save_pretrained(tmp_path)
    again = load_saved_model(tmp_path)
    assert type(again) is type(model)
    assert not again.training
    assert torch.equal(logits(again), logits(model))


def test_lora_adapts_every_linear_layer_but_the_head_and_comes_back(kind, tmp_path):
    scratch(kind).save_pretrained(tmp_path / "base")
    model = load_model(tmp_path / "base", task="causal-lm", lora={"r": 2}, seed=0)
    adapted = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    per_layer = 4 if kind == "gpt2" else 7
    assert len(adapted) == 2 * per_layer
    assert not any("lm_head" in name for name in adapted)
    moved(model).save_pretrained(tmp_path / "adapter")
    assert not {name for name in (tmp_path / "adapter").iterdir() if name.stat().st_size > 60_000}
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["task_type"] == "CAUSAL_LM"
    assert config["modules_to_save"] is None
    again = load_saved_model(tmp_path / "adapter")
    assert torch.equal(logits(again), logits(model))
    assert not torch.allclose(logits(again), logits(load_saved_model(tmp_path / "base")), atol=1e-3)


def test_a_model_tells_its_task_by_its_class(tmp_path):
    config = GPT2Config(**GPT2)
    models = {"text-classification": GPT2ForSequenceClassification(config), "causal-lm": GPT2LMHeadModel(config)}
    for task, model in models.items():
        assert find_task(model) == task
        model.save_pretrained(tmp_path / task)
        assert find_task(load_saved_model(tmp_path / task)) == task
    # One checkpoint, two adapters.
    for task, more in (("causal-lm", {}), ("text-classification", {"num_labels": 3})):
        load_model(tmp_path / "causal-lm", task=task, lora={"r": 2}, **more).save_pretrained(
            tmp_path / f"adapter {task}"
        )
        assert find_task(load_saved_model(tmp_path / f"adapter {task}")) == task


def test_classes_are_asked_of_classifiers_and_of_them_alone(tmp_path: Path):
    with pytest.raises(InputError, match="num_labels or id2label is given: a causal-lm model has no classes"):
        load_model("gpt2", task="causal-lm", from_scratch=True, num_labels=2)
    with pytest.raises(InputError, match="num_labels is missing: a text-classification model needs"):
        load_model("gpt2", task="text-classification", from_scratch=True)


def test_a_checkpoint_without_its_head_is_refused(tmp_path):
    scratch("llama").model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"lack lm_head\.weight: pass a checkpoint with all of them"):
        load_model(tmp_path, task="causal-lm")


@pytest.mark.parametrize("saved_in_full", [None, ["lm_head"]])
def test_the_base_of_an_adapter_is_its_checkpoint(kind, saved_in_full, tmp_path):
    base = scratch(kind)
    base.save_pretrained(tmp_path)
    model = load_model(tmp_path, task="causal-lm", lora={"r": 2, "modules_to_save": saved_in_full}, seed=0)
    moved(model)
    with_adapter, asked = logits(model), [parameter.requires_grad for parameter in model.parameters()]
    with base_of(model) as same:
        assert same is model
        assert torch.equal(logits(same), logits(base))
    assert torch.equal(logits(model), with_adapter)
    assert [parameter.requires_grad for parameter in model.parameters()] == asked


def test_a_model_without_adapter_has_no_base_in_it_and_one_with_trained_biases_neither(tmp_path):
    model = scratch("gpt2")
    with pytest.raises(InputError, match="GPT2LMHeadModel without an adapter to take off"), base_of(model):
        pass
    model.save_pretrained(tmp_path)
    model = load_model(tmp_path, task="causal-lm", lora={"r": 2, "bias": "all"})
    with pytest.raises(InputError, match=r"the adapter trains biases \(bias: all\)"), base_of(model):
        pass
