"""What a causal language model says of each scored token: against one row at a time and a plain softmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_language import LANGUAGE_MODELS, language_model
from tiny_language import token_rows as rows
from transformers import AutoConfig, AutoModelForCausalLM

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import ScoredTokens, base_of, score_tokens, scored_tokens
from hf_privacy.signals import check_fit, compute_signals, scored_offsets, token_signals
from hf_privacy.tasks import task_of


def one_by_one(model: torch.nn.Module, dataset: TensorDataset) -> list[np.ndarray]:
    """The same figures, a row at a time, without padding, by softmax in float64."""
    found = []
    for row in range(len(dataset)):
        batch = dataset[row]
        length = int(batch["attention_mask"].sum())
        with torch.no_grad():
            logits = model(input_ids=batch["input_ids"][None, :length]).logits[0].double()
        for place in range(1, length):
            if batch["labels"][place] < 0:
                continue
            p = torch.softmax(logits[place - 1], dim=-1)
            mean = (p * p.log()).sum()
            variance = (p * p.log() ** 2).sum() - mean**2
            token = int(batch["labels"][place])
            found.append([p[token].log(), mean, variance, float(logits[place - 1].argmax() == token)])
    return list(np.array(found, dtype=np.float64).T)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", list(LANGUAGE_MODELS))
def test_every_value_equals_the_naive_loop_for_any_batch_size_and_order(kind, lora):
    model, dataset = language_model(kind, lora=lora), rows()
    expected = one_by_one(model, dataset)
    for batch_size in (1, 3, 8):
        found = token_signals(model, dataset, batch_size=batch_size)
        for values, wanted in zip((found.log_prob, found.mean, found.variance, found.greedy), expected, strict=True):
            np.testing.assert_allclose(values, wanted, atol=1e-5, rtol=1e-5)
    order = np.array([3, 6, 0, 7, 5, 1, 4, 2])
    shuffled = token_signals(model, dataset.subset(order), batch_size=3)
    np.testing.assert_allclose(shuffled.log_prob, found.rows(order).log_prob, atol=1e-5)
    np.testing.assert_array_equal(shuffled.offsets, found.rows(order).offsets)


@pytest.mark.parametrize("kind", list(LANGUAGE_MODELS))
def test_the_head_is_asked_for_the_scored_tokens_alone(kind):
    """No known architecture falls back to whole logits, and its own pass makes those of one position a row."""
    model, batch = language_model(kind), rows().__getitems__([0, 1, 2])
    seen = []
    model.get_output_embeddings().register_forward_hook(lambda module, args, output: seen.append(output.shape))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    score_tokens(model, inputs, batch["labels"])
    seen.clear()
    scored = score_tokens(model, inputs, batch["labels"])
    assert scored.head is not None
    assert [tuple(shape) for shape in seen] == [(3, 1, 61)]


def test_chunks_change_neither_values_nor_gradients(monkeypatch):
    model, batch = language_model("llama", lora=True).train(), rows().__getitems__(range(8))
    task = task_of(model)

    def losses_and_gradients() -> list[torch.Tensor]:
        model.zero_grad()
        losses = task.example_losses(task.forward(model, batch), batch)
        (losses * torch.arange(1.0, 9.0)).sum().backward()
        return [losses.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]

    whole = losses_and_gradients()
    monkeypatch.setattr(scored_tokens, "_CHUNK_ELEMENTS", 61 * 5)
    for chunked, wanted in zip(losses_and_gradients(), whole, strict=True):
        torch.testing.assert_close(chunked, wanted, atol=1e-4, rtol=1e-4)


def test_what_a_model_does_to_its_logits_that_is_not_known_is_not_left_out():
    """The check against the model's own logits finds it, and they are taken as they come."""
    model, dataset = language_model("llama"), rows()
    forward = model.forward

    def doubled(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.logits = 2 * output.logits
        return output

    model.forward = doubled
    batch = dataset.__getitems__(range(8))
    scored = score_tokens(model, {"input_ids": batch["input_ids"]}, batch["labels"])
    assert scored.head is None
    expected = one_by_one(model, dataset)
    np.testing.assert_allclose(token_signals(model, dataset).log_prob, expected[0], atol=1e-5)


def test_the_signals_of_rows_are_those_of_their_tokens():
    model, dataset = language_model("qwen2"), rows()
    tokens = token_signals(model, dataset)
    signals = compute_signals(model, dataset, batch_size=3)
    assert set(signals) == set(task_of(model).signal_names)
    parts = np.split(tokens.log_prob.astype(np.float64), tokens.offsets[1:-1])
    np.testing.assert_allclose(signals["loss"][0], [-part.mean() for part in parts], atol=1e-5)
    np.testing.assert_allclose(signals["loss_sum"][0], [-part.sum() for part in parts], atol=1e-4)
    np.testing.assert_array_equal(signals["n_tokens"][0], np.diff(scored_offsets(dataset)))
    lowest = [np.sort(part)[: max(1, int(0.2 * len(part)))].mean() for part in parts]
    np.testing.assert_allclose(signals["min_k"][0], lowest, atol=1e-5)
    for name, values in tokens.examples().items():
        np.testing.assert_allclose(signals[name][0], values, atol=1e-4)


def test_an_untrained_adapter_differs_from_its_base_by_exactly_nothing():
    torch.manual_seed(0)
    model = get_peft_model(language_model("llama"), LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))
    own = token_signals(model, rows())
    with base_of(model) as base:
        np.testing.assert_array_equal(token_signals(base, rows()).log_prob, own.log_prob)


def test_scores_are_without_dropout_and_in_float32_also_of_a_model_in_training_or_in_bfloat16():
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **LANGUAGE_MODELS["gpt2"]))  # dropout .1
    model.train()
    np.testing.assert_array_equal(token_signals(model, rows()).log_prob, token_signals(model, rows()).log_prob)
    assert model.training
    half = token_signals(language_model("llama").bfloat16(), rows())
    assert half.log_prob.dtype == np.float32
    # bfloat16 has 8 bits: float32 logarithms of its logits lie between its steps.
    assert len(np.unique(half.log_prob)) == len(half.log_prob)


def test_a_row_without_a_scored_token_is_counted_and_refused():
    dataset = rows()
    labels = dataset.column("labels").clone()
    labels[2:4] = -100
    tensors = {name: dataset.column(name) for name in dataset.column_names} | {"labels": labels}
    with pytest.raises(InputError, match="2 of 8 rows have no scored token"):
        check_fit(language_model("llama"), dataset.with_tensors(tensors))
    with pytest.raises(InputError, match="no scored token"):
        ScoredTokens.of_logits(torch.zeros(1, 3, 4), torch.tensor([[1, -100, -100]]))


def test_shifted_labels_and_left_padding_are_refused():
    dataset = rows()
    tensors = {name: dataset.column(name) for name in dataset.column_names}
    shifted = torch.where(tensors["labels"] < 0, -100, tensors["labels"].roll(-1, dims=1))
    with pytest.raises(InputError, match="not shifted"):
        check_fit(language_model("llama"), dataset.with_tensors({**tensors, "labels": shifted}))
    left = {name: values.flip(1) for name, values in tensors.items()}
    with pytest.raises(InputError, match="padded on the left"):
        check_fit(language_model("llama"), TensorDataset(left))
