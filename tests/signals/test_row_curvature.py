"""Input curvature of causal language models: that of the full Hessian, in the scored embeddings, per coordinate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_language import language_model, token_rows
from transformers import BertConfig, BertForSequenceClassification

from hf_privacy.errors import InputError
from hf_privacy.signals import Curvature, compute_curvature, compute_signals, input_curvature, signals_and_tokens
from hf_privacy.signals.row_curvature import row_curvature

KINDS = ("gpt2", "llama", "gemma2", "cohere")
METHODS = {"hvp": 1e-3, "finite_difference": 1e-3, "zero_order": 1e-2}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(rows=None, numbers=slice(None)):
    rows = token_rows() if rows is None else rows
    tensors = {name: rows.column(name)[numbers] for name in rows.column_names}
    labels = tensors.pop("labels")
    return tensors, labels


def naive_loss(model, embeddings, ids, labels):
    """Σ −ln p over one row's scored tokens, from whole logits of a row without padding."""
    logits = model(inputs_embeds=embeddings[None]).logits[0].double()
    total = 0.0
    for position in range(1, len(ids)):
        if labels[position] != -100:
            total = total - torch.log_softmax(logits[position - 1], dim=0)[ids[position]]
    return total


def hessian_of(model, ids, labels):
    """By autograd, of one row in the embeddings of its scored tokens: [n·d, n·d]."""
    embeddings = model.get_input_embeddings()(ids).detach()
    scored = [position for position in range(1, len(ids)) if labels[position] != -100]

    def loss(flat):
        moved = embeddings.clone()
        moved[scored] = flat.reshape(len(scored), -1)
        return naive_loss(model, moved, ids, labels)

    flat = embeddings[scored].flatten()
    return torch.autograd.functional.hessian(loss, flat), embeddings[scored]


def vectors_of(shape, n):
    """The signs that the seed gives, drawn anew."""
    seeds = torch.randint(0, 2**63 - 1, (n,), generator=seeded()).tolist()
    coins = [
        torch.randint(0, 2, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(seed)) for seed in seeds
    ]
    return [(2 * coin - 1).double() for coin in coins]


@pytest.fixture(scope="module")
def gpt2():
    """In float64 throughout; Llama's norms round to float32 within."""
    model = language_model("gpt2", spread=0.1).double()
    model.set_attn_implementation("eager")
    return model


@pytest.mark.parametrize(("method", "h", "rtol"), [("hvp", 1e-3, 1e-7), ("finite_difference", 1e-6, 1e-4)])
def test_values_are_those_of_the_full_hessian_for_the_vectors_drawn(gpt2, method, h, rtol):
    rows = token_rows()
    longest = rows.column("input_ids").shape[1]
    inputs, labels = batch_of(rows)
    found = input_curvature(gpt2, inputs, labels, n_vectors=3, h=h, method=method, generator=seeded())
    for row, length in enumerate(inputs["attention_mask"].sum(dim=1).tolist()):
        ids, of_row = inputs["input_ids"][row, :length], labels[row, :length]
        hessian, moved = hessian_of(gpt2, ids, of_row)
        n_coordinates = moved.numel()
        signs = [v.flatten()[:n_coordinates] for v in vectors_of((longest, moved.shape[1]), 3)]
        trace = sum(v @ hessian @ v for v in signs) / 3 / n_coordinates
        squared = sum((hessian @ v).square().sum() for v in signs) / 3 / n_coordinates
        norm = sum((hessian @ v).norm() for v in signs) / 3 / n_coordinates**0.5
        scale = float(hessian.abs().max()) + 1e-12
        assert found["trace"][row] == pytest.approx(float(trace), rel=rtol, abs=rtol * scale)
        assert found["squared_norm"][row] == pytest.approx(float(squared), rel=rtol, abs=rtol * scale**2)
        assert found["norm"][row] == pytest.approx(float(norm), rel=rtol, abs=rtol * scale)


def test_zero_order_is_that_of_the_full_hessian_for_the_pairs_drawn(gpt2):
    inputs, labels = batch_of(token_rows((6,)))
    hessian, moved = hessian_of(gpt2, inputs["input_ids"][0], labels[0])
    v, u = (signs.flatten()[: moved.numel()] for signs in vectors_of((6, moved.shape[1]), 2))
    found = input_curvature(gpt2, inputs, labels, n_vectors=1, h=1e-3, method="zero_order", generator=seeded())
    expected = float((v @ hessian @ u).abs()) / moved.numel() ** 0.5
    assert float(found["zero_order"]) == pytest.approx(expected, rel=1e-3)


def test_the_mean_over_many_vectors_is_the_trace_of_the_full_hessian(gpt2):
    inputs, labels = batch_of(token_rows((6,)))
    hessian, moved = hessian_of(gpt2, inputs["input_ids"][0], labels[0])
    n = 400
    found = input_curvature(gpt2, inputs, labels, n_vectors=n, generator=seeded())
    off_diagonal = hessian - torch.diag(hessian.diagonal())
    error = float((2 * off_diagonal.square().sum() / n).sqrt()) / moved.numel()  # of a mean over Rademacher vectors
    assert abs(float(found["trace"]) - float(hessian.trace()) / moved.numel()) < 5 * error
    squared = float(hessian.square().sum()) / moved.numel()
    assert float(found["squared_norm"]) == pytest.approx(squared, rel=0.3)


def test_the_step_is_a_share_of_the_rows_own_embeddings(gpt2):
    """The difference of gradients at the step that is said, typed anew."""
    inputs, labels = batch_of(token_rows((6,)))
    ids, of_row = inputs["input_ids"][0], labels[0]
    hidden = gpt2.get_input_embeddings()(ids).detach()
    scored = of_row != -100
    step = 0.05 * hidden[scored].square().mean().sqrt()
    (signs,) = vectors_of(hidden.shape, 1)
    v = torch.zeros_like(hidden)
    v[scored] = signs[: int(scored.sum())]

    def gradient(points):
        points = points.clone().requires_grad_(True)
        return torch.autograd.grad(naive_loss(gpt2, points, ids, of_row), points)[0]

    product = (gradient(hidden + step * v) - gradient(hidden)) / step
    found = input_curvature(gpt2, inputs, labels, n_vectors=1, h=0.05, method="finite_difference", generator=seeded())
    assert float(found["trace"]) == pytest.approx(float((v * product).sum() / (scored.sum() * 16)), rel=1e-6)


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_hessian_products_and_differences_agree_for_every_kind_of_model(kind, lora):
    model = language_model(kind, lora=lora, spread=0.05)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    inputs, labels = batch_of()
    exact = input_curvature(model, inputs, labels, n_vectors=3, generator=seeded())
    differences = input_curvature(
        model, inputs, labels, n_vectors=3, h=5e-4, method="finite_difference", generator=seeded()
    )
    for name, values in exact.items():
        torch.testing.assert_close(differences[name], values, rtol=0.05, atol=0.02 * float(values.abs().max()))
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lora", [False, True])
def test_peer_error_padded_batch_a_row_depends_on_neither_batch_mates_nor_order_nor_padding(lora, method):
    model = language_model("gpt2", lora=lora, spread=0.1).double()  # rounding must not hide a dependence
    inputs, labels = batch_of()
    settings = {"n_vectors": 2, "method": method, "h": METHODS[method]}
    whole = input_curvature(model, inputs, labels, generator=seeded(), **settings)
    order = torch.tensor([4, 0, 6, 2, 5, 1, 3, 7])
    shuffled = input_curvature(model, *batch_of(numbers=order), generator=seeded(), **settings)
    alone, its = batch_of(numbers=slice(4, 5))  # seven tokens of twelve places
    alone, its = {name: values[:, :7] for name, values in alone.items()}, its[:, :7]
    trimmed = input_curvature(model, alone, its, generator=seeded(), **settings)
    for name, values in whole.items():
        scale = float(values.abs().max())
        torch.testing.assert_close(shuffled[name], values[order], rtol=1e-5, atol=1e-8 * scale)
        torch.testing.assert_close(trimmed[name], values[4:5], rtol=1e-5, atol=1e-8 * scale)


def test_batch_size_changes_nothing_in_float32():
    model, rows = language_model("llama", spread=0.05), token_rows()
    settings = Curvature(n_vectors=2)
    ones, all_at_once = (compute_curvature(model, rows, curvature=settings, batch_size=size) for size in (1, 8))
    for name, values in all_at_once.items():
        np.testing.assert_allclose(ones[name], values, rtol=1e-5, atol=1e-5 * np.abs(values).max())


def test_an_adapter_without_effect_has_the_curvature_of_its_base():
    plain = language_model("gpt2")
    adapted = language_model("gpt2", lora=True, spread=0.0)  # B = 0
    with adapted.disable_adapter():
        base = input_curvature(adapted, *batch_of(), n_vectors=2, generator=seeded())
    found = input_curvature(adapted, *batch_of(), n_vectors=2, generator=seeded())
    torch.testing.assert_close(found, base)
    assert plain is not adapted


def test_a_model_that_knows_nothing_of_its_input_is_flat():
    model = language_model("gpt2")
    with torch.no_grad():
        model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
    found = input_curvature(model, *batch_of(), n_vectors=2, generator=seeded())
    assert all(float(values.abs().max()) == 0.0 for values in found.values())


def test_a_row_of_one_scored_token_at_its_end_is_flat():
    """It is told by what precedes it, and its own embedding tells nothing."""
    inputs, labels = batch_of(token_rows((3, 2)))
    found = input_curvature(language_model("llama"), inputs, labels, n_vectors=2, generator=seeded())
    assert float(found["squared_norm"].abs().max()) == 0.0


def test_weights_in_bfloat16_are_taken_in_float32_and_are_the_same_bits_after():
    model = language_model("llama").bfloat16()
    before = {name: values.clone() for name, values in model.state_dict().items()}
    found = input_curvature(model, *batch_of(), n_vectors=2, generator=seeded())
    assert all(torch.equal(values, model.state_dict()[name]) for name, values in before.items())
    expected = input_curvature(model.float(), *batch_of(), n_vectors=2, generator=seeded())
    torch.testing.assert_close(found, expected)


def test_chunks_of_the_head_change_nothing(monkeypatch, gpt2):
    whole = input_curvature(gpt2, *batch_of(), n_vectors=2, generator=seeded())
    monkeypatch.setattr("hf_privacy.models.scored_tokens._CHUNK_ELEMENTS", 61 * 3)
    in_chunks = input_curvature(gpt2, *batch_of(), n_vectors=2, generator=seeded())
    for name, values in whole.items():
        torch.testing.assert_close(in_chunks[name], values, rtol=1e-8, atol=1e-10 * float(values.abs().max()))


def test_the_audits_signals_are_its_logarithm():
    model, rows = language_model("llama"), token_rows()
    settings = Curvature(n_vectors=2)
    raw = compute_curvature(model, rows, curvature=settings)
    signals, tokens = signals_and_tokens(model, rows, curvature=settings)
    floored = np.log(np.maximum(raw["squared_norm"], 1e-70))
    np.testing.assert_allclose(signals["curvature"][0], floored, rtol=1e-9)
    np.testing.assert_allclose(signals["curvature_trace"][0], raw["trace"], rtol=1e-9)
    assert len(tokens) == len(rows)
    alone, _ = signals_and_tokens(model, rows)
    assert set(signals) - set(alone) == {"curvature", "curvature_trace"}
    np.testing.assert_allclose(
        compute_signals(model, rows, curvature=settings)["curvature"][0], floored, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": torch.full((8, 12), -100)}, "rows have no scored token"),
        ({"labels": torch.ones(8, 5, dtype=torch.int64)}, r"labels has shape \[8, 5\] and input_ids \[8, 12\]"),
        ({"method": "zero_order"}, "h is 0.001, too small for zero_order"),
        ({"space": object()}, "space is set and labels are of tokens"),
    ],
)
def test_what_has_no_curvature_is_refused(change, said):
    inputs, labels = batch_of()
    with pytest.raises(InputError, match=said):
        input_curvature(language_model("llama"), inputs, **{"labels": labels, **change})


def test_a_classifier_is_refused_labels_of_tokens():
    config = BertConfig(
        vocab_size=61, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, num_labels=3
    )
    with pytest.raises(InputError, match="is for text-classification: pass one class number for each example"):
        input_curvature(BertForSequenceClassification(config).eval(), *batch_of())


def test_a_model_that_answers_otherwise_for_embeddings_is_refused():
    model = language_model("llama")
    given = model.get_input_embeddings
    model.get_input_embeddings = lambda: lambda ids: 2 * given()(ids)
    with pytest.raises(InputError, match="answers the same for both"):
        row_curvature(model, *batch_of())
