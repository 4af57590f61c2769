"""Embeddings and head, tied or not, extended or not, trained in full or not: the same from a folder, merged, and from
the Hub.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from language_models import MODELS, logits, moved, scratch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open

from hf_privacy.errors import InputError
from hf_privacy.models import base_of, load_model, load_saved_model

TIED = [kind for kind in MODELS if kind != "llama"]
SAVED_IN_FULL = (["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"])
# Of a merged model: its sums are taken in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(autouse=True)
def without_pefts_remarks():
    """That the two are no longer tied is what each test is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def names_in(kind: str, modules: list[str]) -> list[str]:
    return ["wte" if kind == "gpt2" and name == "embed_tokens" else name for name in modules]


def are_tied(model: torch.nn.Module) -> bool:
    return model.get_input_embeddings().weight is model.get_output_embeddings().weight


def check_round_trips(model: torch.nn.Module, base: torch.nn.Module, folder: Path) -> torch.nn.Module:
    """An adapter comes back from its folder, its base with it; merged, and so from a folder. Gives the last."""
    expected = logits(model)
    assert (expected - logits(base)).abs().max() > 0.01
    model.save_pretrained(folder / "adapter")
    again = load_saved_model(folder / "adapter")
    assert torch.equal(logits(again), expected)
    for each in (model, again):
        with base_of(each):
            assert torch.equal(logits(each), logits(base))
    merged = again.merge_and_unload()
    torch.testing.assert_close(logits(merged), expected, **CLOSE)
    merged.save_pretrained(folder / "merged")
    from_folder = load_saved_model(folder / "merged")
    assert torch.equal(logits(from_folder), logits(merged))
    assert are_tied(from_folder) == are_tied(merged) == merged.config.tie_word_embeddings
    return from_folder


@pytest.mark.parametrize("modules", SAVED_IN_FULL, ids="+".join)
@pytest.mark.parametrize("kind", MODELS)
def test_modules_saved_in_full_are_trained_each_on_its_own(kind, modules, tmp_path):
    base = scratch(kind)
    base.save_pretrained(tmp_path / "base")
    lora = {"r": 2, "modules_to_save": names_in(kind, modules)}
    model = load_model(tmp_path / "base", task="causal-lm", lora=lora, seed=0)
    assert not are_tied(check_round_trips(moved(model), base, tmp_path))


@pytest.mark.parametrize("modules", SAVED_IN_FULL, ids="+".join)
@pytest.mark.parametrize("kind", [kind for kind in TIED if kind != "gpt2"])
def test_modules_saved_in_full_stay_tied_where_that_is_asked(kind, modules, tmp_path):
    base = scratch(kind)
    base.save_pretrained(tmp_path / "base")
    lora = {"r": 2, "modules_to_save": modules, "ensure_weight_tying": True}
    model = load_model(tmp_path / "base", task="causal-lm", lora=lora, seed=0)
    assert are_tied(check_round_trips(moved(model), base, tmp_path))


@pytest.mark.parametrize(("kind", "modules"), [("gpt2", ["lm_head"]), ("llama", ["lm_head"])])
def test_tying_that_peft_does_not_do_is_refused(kind, modules, tmp_path):
    """Asked to tie GPT-2's head, peft ties nothing, and the reloaded adapter's base is not the base."""
    scratch(kind).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="ensure_weight_tying, and peft does not keep embeddings"):
        load_model(tmp_path, task="causal-lm", lora={"r": 2, "modules_to_save": modules, "ensure_weight_tying": True})


@pytest.mark.parametrize("kind", TIED)
def test_tied_weights_are_written_once_and_train_as_one(kind, tmp_path):
    """Safetensors holds no tensor twice."""
    model = scratch(kind).train()
    assert are_tied(model)
    ids = torch.tensor([[5, 6, 7]])
    model(input_ids=ids, labels=ids).loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(0.1 * parameter.grad)
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert not [name for name in file.keys() if name.startswith("lm_head")]  # noqa: SIM118
    again = load_saved_model(tmp_path)
    assert are_tied(again)
    assert torch.equal(logits(again), logits(model))


@pytest.mark.parametrize("kind", MODELS)
def test_an_adapter_on_an_extended_vocabulary_comes_back(kind, tmp_path):
    """As a script that adds tokens leaves it; peft then saves the embeddings beside the adapter."""
    base = scratch(kind)
    base.save_pretrained(tmp_path / "base")
    extended = load_model(tmp_path / "base", task="causal-lm")
    torch.manual_seed(0)
    extended.resize_token_embeddings(44, mean_resizing=False)
    model = get_peft_model(extended, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    expected = logits(moved(model))
    assert expected.shape[-1] == 44
    model.save_pretrained(tmp_path / "adapter")
    again = load_saved_model(tmp_path / "adapter")
    assert torch.equal(logits(again), expected)
    assert are_tied(again) == are_tied(extended)
    with base_of(again):
        torch.testing.assert_close(logits(again)[..., :40], logits(base), **CLOSE)
    merged = again.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(load_saved_model(tmp_path / "merged")), expected, **CLOSE)


def test_a_head_written_beside_its_tied_embeddings_is_the_embeddings(tmp_path):
    """As some tools write it; transformers takes the head for tied only where the two are equal or it is absent."""
    from safetensors.torch import load_file, save_file

    model = scratch("llama tied")
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(logits(load_saved_model(tmp_path)), logits(model))
