"""Causal language models: built, adapted, saved, loaded back; their task is told by their class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from language_models import GPT2, MODELS, logits, moved, scratch
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

from hf_privacy.errors import InputError
from hf_privacy.models import base_of, load_model, load_saved_model
from hf_privacy.models.architectures import find_task


@pytest.fixture(params=list(MODELS))
def kind(request) -> str:
    return request.param


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


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_a_start_that_writes_into_the_base_is_refused(start, tmp_path):
    """Adapters of a recipe share their base, and one that is saved names the checkpoint as its own."""
    scratch("llama").save_pretrained(tmp_path)
    with pytest.raises(InputError, match=f"init_lora_weights '{start}', which changes the base's own weights"):
        load_model(tmp_path, task="causal-lm", lora={"r": 2, "init_lora_weights": start})


@pytest.mark.parametrize("start", [True, False, "gaussian", "orthogonal"])
def test_a_start_of_the_adapter_alone_leaves_the_base(start, tmp_path):
    base = scratch("llama")
    base.save_pretrained(tmp_path)
    model = load_model(tmp_path, task="causal-lm", lora={"r": 2, "init_lora_weights": start})
    with base_of(model) as same:
        assert torch.equal(logits(same), logits(base))
