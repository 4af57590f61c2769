"""Probabilities under a sampling scheme against naive loops, and greedy text against greedy hits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_language import LANGUAGE_MODELS, language_model, token_rows
from tiny_models import tiny_data, tiny_model
from transformers import GenerationConfig

from hf_privacy.errors import InputError
from hf_privacy.models import scored_tokens
from hf_privacy.signals import greedy_continuations, sampling_log_prob, token_signals

SCHEMES = [
    {"temperature": 1.0, "top_k": None, "top_p": None},
    {"temperature": 0.7, "top_k": 5, "top_p": None},
    {"temperature": 1.5, "top_k": None, "top_p": 0.6},
    {"temperature": 1.3, "top_k": 20, "top_p": 0.5},
    {"temperature": 1.0, "top_k": 1, "top_p": None},
]


def naive(model, dataset, temperature, top_k, top_p):
    """One row at a time, without padding, tokens kept one after the other, in float64."""
    found = []
    for row in range(len(dataset)):
        batch = dataset[row]
        length = int(batch["attention_mask"].sum())
        with torch.no_grad():
            logits = model(input_ids=batch["input_ids"][None, :length]).logits[0].double().numpy()
        for place in range(1, length):
            token = int(batch["labels"][place])
            if token < 0:
                continue
            p = np.exp(logits[place - 1] / temperature)
            order = np.argsort(-p)[: top_k or len(p)]
            kept, total = [], 0.0
            for candidate in order:
                kept.append(candidate)
                total += p[candidate] / p[order].sum()
                if top_p is not None and total >= top_p:
                    break
            found.append(np.log(p[token] / p[kept].sum()) if token in kept else -np.inf)
    return np.array(found)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_every_probability_equals_the_naive_loop(kind, scheme, monkeypatch):
    model, dataset = language_model(kind), token_rows()
    expected = naive(model, dataset, **scheme)
    for batch_size in (1, 3, 8):
        found = sampling_log_prob(model, dataset, batch_size=batch_size, **scheme)
        np.testing.assert_allclose(found, expected, atol=2e-5)
    monkeypatch.setattr(scored_tokens, "_CHUNK_ELEMENTS", 61 * 4)
    np.testing.assert_allclose(sampling_log_prob(model, dataset, **scheme), expected, atol=2e-5)


def test_without_a_scheme_it_is_the_models_own_and_top_one_is_greedy():
    model, dataset = language_model("llama", lora=True), token_rows()
    plain = token_signals(model, dataset)
    found = sampling_log_prob(model, dataset, top_k=None)
    np.testing.assert_allclose(found, plain.log_prob, atol=1e-6)
    np.testing.assert_array_equal(sampling_log_prob(model, dataset, top_k=1) == 0.0, plain.greedy)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", list(LANGUAGE_MODELS))
def test_greedy_text_is_what_one_row_at_a_time_writes(kind, lora):
    model = language_model(kind, lora=lora)
    prefixes = [np.array([5, 9, 11]), np.array([7]), np.array([3, 4, 5, 6, 8])]
    expected = []
    for prefix in prefixes:
        ids = torch.tensor(prefix)[None]
        for _ in range(6):
            with torch.no_grad():
                ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(-1)], dim=1)
        expected.append(ids[0, len(prefix) :].numpy())
    for batch_size in (1, 3):
        found = greedy_continuations(model, prefixes, n_tokens=6, batch_size=batch_size)
        np.testing.assert_array_equal(found, expected)


def test_the_models_own_generation_settings_shape_nothing_and_stay():
    model = language_model("llama")
    plain = greedy_continuations(model, [np.array([5, 9])], n_tokens=6)
    own = GenerationConfig(repetition_penalty=5.0, eos_token_id=int(plain[0][0]), do_sample=True, temperature=9.0)
    model.generation_config = own
    model.config.use_cache = False
    model.train()
    np.testing.assert_array_equal(greedy_continuations(model, [np.array([5, 9])], n_tokens=6), plain)
    assert model.generation_config is own
    assert model.training
    assert model.config.use_cache is False


def test_what_writes_no_text_is_refused():
    with pytest.raises(InputError, match="only a causal language model"):
        sampling_log_prob(tiny_model("bert"), tiny_data("bert"))
    with pytest.raises(InputError, match="no causal language model"):
        greedy_continuations(tiny_model("bert"), [np.array([1])], n_tokens=1)
    model = language_model("gpt2")
    with pytest.raises(InputError, match="1 of 2 prefixes are empty"):
        greedy_continuations(model, [np.array([1]), np.array([], dtype=np.int64)], n_tokens=1)
    for wrong in ({"temperature": 0}, {"top_k": 0}, {"top_p": 0.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            sampling_log_prob(model, token_rows(), **wrong)
