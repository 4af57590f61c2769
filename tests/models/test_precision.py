"""Language models in float32, bfloat16, four bits and from GGUF, and under gradient checkpointing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from language_models import MODELS, logits, moved, scratch
from peft import AutoPeftModelForCausalLM

from hf_privacy.errors import InputError
from hf_privacy.models import load_base, load_model, load_saved_model, load_tokenizer
from hf_privacy.models.precision import dtype_named


def adapter_on(base: Path, **more) -> torch.nn.Module:
    return moved(load_model(base, task="causal-lm", lora={"r": 2}, seed=0, **more))


@pytest.mark.parametrize("kind", MODELS)
def test_a_bfloat16_model_is_trained_saved_and_loaded_in_bfloat16(kind, tmp_path):
    model = scratch(kind, dtype="bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    before = logits(model)
    ids = torch.tensor([[5, 6, 7]])
    model.train()(input_ids=ids, labels=ids).loss.backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    model.save_pretrained(tmp_path)
    again = load_saved_model(tmp_path)
    assert again.dtype == torch.bfloat16
    assert torch.equal(logits(again), logits(model))
    assert not torch.equal(logits(again), before)
    assert load_saved_model(tmp_path, dtype="float32").dtype == torch.float32
    assert load_model(tmp_path, task="causal-lm").dtype == torch.float32
    assert load_base(tmp_path, task="causal-lm", dtype="bfloat16").dtype == torch.bfloat16


@pytest.mark.parametrize("saved", ["float32", "bfloat16"])
@pytest.mark.parametrize("trained", ["float32", "bfloat16"])
def test_an_adapter_comes_back_on_its_base_in_the_precision_it_was_trained_on(saved, trained, tmp_path):
    scratch("llama", dtype=saved).save_pretrained(tmp_path / "base")
    model = adapter_on(tmp_path / "base", dtype=trained)
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {dtype_named(trained)}
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    model.save_pretrained(tmp_path / "adapter")
    again = load_saved_model(tmp_path / "adapter")
    assert again.get_base_model().dtype == dtype_named(trained)
    assert torch.equal(logits(again), logits(model))
    # The record is no hindrance to peft's own way.
    assert AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").dtype is not None


def test_another_precision_is_refused(tmp_path):
    for dtype in ("float16", torch.float16, "half"):
        with pytest.raises(InputError, match="pass one of float32, bfloat16"):
            load_model("gpt2", task="causal-lm", from_scratch=True, dtype=dtype)


def test_four_bits_are_refused_before_anything_is_read(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for more, said in (
        ({"quantization": "nf4"}, "without lora"),
        ({"quantization": "int8", "lora": {}}, "pass nf4"),
        ({"quantization": "nf4", "lora": {}}, "has no CUDA GPU"),
        ({"quantization": "nf4", "lora": {}, "gguf_file": "a.gguf"}, "leave one of them out"),
    ):
        with pytest.raises(InputError, match=said):
            load_model("nobody/nothing", task="causal-lm", **more)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("hf_privacy.models.precision.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'pip install "hf-privacy\[qlora\]"'):
        load_model("nobody/nothing", task="causal-lm", quantization="nf4", lora={})


def test_an_adapter_trained_on_four_bits_is_refused_without_a_gpu(tmp_path, monkeypatch):
    scratch("llama").save_pretrained(tmp_path / "base")
    adapter_on(tmp_path / "base").save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "auto_mapping": {"dtype": "bfloat16", "quantization": "nf4"}}))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="has no CUDA GPU"):
        load_saved_model(tmp_path / "adapter")


# GGUF


def test_gguf_is_refused_where_it_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "model.gguf").write_bytes(b"")
    with pytest.raises(InputError, match="name the file with gguf_file"):
        load_model(tmp_path, task="causal-lm")
    for name in ("../model.gguf", "model.bin"):
        with pytest.raises(InputError, match=r"pass the name of a \.gguf file"):
            load_model(tmp_path, task="causal-lm", gguf_file=name)
    with pytest.raises(InputError, match="leave one out"):
        load_model("llama", task="causal-lm", gguf_file="model.gguf", from_scratch=True)
    monkeypatch.setattr("hf_privacy.models.checkpoint.find_spec", lambda name: None)
    for load in (
        lambda **more: load_model(tmp_path, task="causal-lm", **more),
        lambda **more: load_tokenizer(tmp_path, **more),
    ):
        with pytest.raises(InputError, match=r'pip install "hf-privacy\[gguf\]"'):
            load(gguf_file="model.gguf")


# Gradient checkpointing


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("kind", MODELS)
def test_gradient_checkpointing_gives_an_adapter_the_same_gradients(kind, reentrant, tmp_path):
    """Reentrant checkpoints give none where neither inputs nor embeddings ask for them."""
    scratch(kind).save_pretrained(tmp_path)
    ids = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(0))

    def gradients(*, checkpointing: bool) -> dict[str, torch.Tensor]:
        model = adapter_on(tmp_path)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
        model.train()(input_ids=ids, labels=ids).loss.backward()
        return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}

    plain, saving = gradients(checkpointing=False), gradients(checkpointing=True)
    assert plain.keys() == saving.keys()
    for name, gradient in plain.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(saving[name], gradient, msg=name)
