"""Scores of a causal language model's weights, each against a loop over rows and tokens typed anew."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_language import language_model, token_rows

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import base_of
from hf_privacy.weights import (
    fisher,
    likelihood_sensitivity,
    mas_sensitivity,
    pearson_by_kind,
    privacy_vulnerability,
    saliency,
    taylor,
)
from hf_privacy.weights.vulnerability import network_at

ROWS = token_rows()


def batches_of(dataset: TensorDataset, *sizes: int) -> list[dict[str, torch.Tensor]]:
    start, found = 0, []
    for size in sizes:
        found.append(dataset.__getitems__(list(range(start, start + size))))
        start += size
    return found


def scored_log_probs(model, batch, row):
    """Each log p(·| before) of the scored places of one row alone, unpadded, and the tokens that stand there."""
    length = int(batch["attention_mask"][row].sum())
    ids, labels = batch["input_ids"][row, :length], batch["labels"][row, :length]
    log_p = model(input_ids=ids[None]).logits[0].log_softmax(-1)
    places = [place for place in range(1, length) if int(labels[place]) != -100]
    return torch.stack([log_p[place - 1] for place in places]), torch.stack([ids[place] for place in places])


def log_likelihoods(model, batch, row):
    log_p, tokens = scored_log_probs(model, batch, row)
    return torch.stack([log_p[place, token] for place, token in enumerate(tokens)])


def mean_loss(model, batch):
    """Mean over rows of each one's own mean."""
    return torch.stack([-log_likelihoods(model, batch, row).mean() for row in range(len(batch["labels"]))]).mean()


def trained(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def gradients(model, loss):
    return dict(zip(trained(model), torch.autograd.grad(loss, list(trained(model).values())), strict=True))


def assert_scores(found, expected):
    assert list(found) == list(expected)
    for name, score in found.items():
        torch.testing.assert_close(score, expected[name].detach(), rtol=2e-4, atol=2e-6)


@pytest.fixture(params=["llama", "gpt2", "qwen2", "llama adapter"])
def model(request):
    kind, _, adapter = request.param.partition(" ")
    return language_model(kind, lora=bool(adapter))


def test_taylor_sums_over_batches_the_gradient_of_the_rows_mean_losses_times_the_weight(model):
    batches = batches_of(ROWS, 5, 3)
    expected = {name: torch.zeros_like(parameter) for name, parameter in trained(model).items()}
    for batch in batches:
        for name, gradient in gradients(model, mean_loss(model, batch)).items():
            expected[name] += (gradient * trained(model)[name]).abs()
    assert_scores(taylor(model, batches), expected)


def test_saliency_and_fisher_are_of_the_rows_mean_losses(model):
    batches = batches_of(ROWS, 5, 3)
    summed = {name: torch.zeros_like(parameter) for name, parameter in trained(model).items()}
    squared = copy.deepcopy(summed)
    for batch in batches:
        for row in range(len(batch["labels"])):
            found = gradients(model, -log_likelihoods(model, batch, row).mean())
            for name, gradient in found.items():
                summed[name] += gradient / len(ROWS)
                squared[name] += gradient.square() / len(ROWS)
    assert_scores(saliency(model, batches), {name: score.abs() for name, score in summed.items()})
    assert_scores(fisher(model, batches), squared)


@pytest.mark.parametrize("per_example", [True, False])
def test_likelihood_sensitivity_is_the_magnitude_of_the_gradient_of_the_sum_over_tokens(model, per_example):
    batches = batches_of(ROWS, 5, 3)
    expected = {name: torch.zeros_like(parameter) for name, parameter in trained(model).items()}
    for batch in batches:
        rows = range(len(batch["labels"]))
        sums = [log_likelihoods(model, batch, row).sum() for row in rows]
        for figure in sums if per_example else [torch.stack(sums).sum()]:
            for name, gradient in gradients(model, figure).items():
                expected[name] += gradient.abs() / len(ROWS)
    assert_scores(likelihood_sensitivity(model, batches, per_example=per_example), expected)


def test_a_rows_sensitivity_does_not_depend_on_the_length_of_its_neighbours(model):
    short = ROWS.subset([3])
    alone = likelihood_sensitivity(model, batches_of(short, 1))
    padded = {name: torch.nn.functional.pad(column, (0, 5)) for name, column in batches_of(short, 1)[0].items()}
    padded["labels"][:, -5:] = -100
    assert_scores(likelihood_sensitivity(model, [padded]), alone)


@pytest.mark.parametrize(("kl_weight", "temperature", "epochs"), [(0.5, 1.0, 1), (0.9, 2.0, 2), (0.0, 1.0, 1)])
def test_privacy_vulnerability_equals_a_plain_loop(model, kl_weight, temperature, epochs):
    members, references = batches_of(ROWS, 4, 2), batches_of(token_rows(seed=7), 3, 3)
    start = network_at(model, {name: 0.7 * tensor.detach() for name, tensor in model.state_dict().items()})
    found = privacy_vulnerability(
        model,
        members,
        references,
        initial_state=start.state_dict(),
        kl_weight=kl_weight,
        temperature=temperature,
        epochs=epochs,
        learning_rate=0.2,
        training=False,
    )
    student = copy.deepcopy(model)
    expected = {name: torch.zeros_like(parameter) for name, parameter in trained(model).items()}
    for _ in range(epochs):
        for member, reference in zip(members, references, strict=True):
            rows = []
            for row in range(len(reference["labels"])):
                with torch.no_grad():
                    q = (scored_log_probs(start, reference, row)[0] / temperature).softmax(-1)
                log_p = (scored_log_probs(student, reference, row)[0] / temperature).log_softmax(-1)
                rows.append(torch.stack([(q[t] * (q[t].log() - log_p[t])).sum() for t in range(len(q))]).mean())
            loss = (1 - kl_weight) * mean_loss(student, member) + kl_weight * torch.stack(rows).mean()
            found_gradients = gradients(student, loss)
            with torch.no_grad():
                for name, gradient in found_gradients.items():
                    expected[name] += (gradient * trained(student)[name]).abs()
                    trained(student)[name] -= 0.2 * gradient
    assert_scores(found, expected)


def test_an_adapter_as_it_was_attached_is_the_base_and_shares_its_weights():
    model = language_model("llama", lora=True)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    start = {
        name: torch.zeros_like(tensor) if "lora_B" in name else tensor.detach().clone()
        for name, tensor in model.named_parameters()
        if tensor.requires_grad
    }
    teacher = network_at(model, start)
    (batch,) = batches_of(ROWS, 4)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with base_of(model) as base:
        assert torch.equal(base(**inputs).logits, teacher(**inputs).logits)
    for name, parameter in model.named_parameters():
        assert (teacher.get_parameter(name) is parameter) == (not parameter.requires_grad), name
    privacy_vulnerability(model, [batch], [batch], initial_state=start, learning_rate=1.0)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_scores_in_chunks_of_tokens_are_those_of_all_at_once(monkeypatch):
    model = language_model("llama")
    (batch,) = batches_of(ROWS, 8)
    start = {name: 0.7 * tensor for name, tensor in model.state_dict().items()}
    whole = privacy_vulnerability(model, [batch], [batch], initial_state=start)
    monkeypatch.setattr("hf_privacy.models.scored_tokens._CHUNK_ELEMENTS", 300)  # two tokens of two models
    assert_scores(privacy_vulnerability(model, [batch], [batch], initial_state=start), whole)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_of_either_kind_changes_no_score(reentrant):
    def scores(**settings):
        model = language_model("llama", lora=True).train()
        if settings:
            model.get_base_model().gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)
        (batch,) = batches_of(ROWS, 8)
        start = {name: 0.5 * weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
        return privacy_vulnerability(model, [batch], [batch], initial_state=start)

    assert_scores(scores(use_reentrant=reentrant), scores())


def test_entanglement_is_reported_by_kind():
    model = language_model("llama")
    scores = taylor(model, batches_of(ROWS, 8))
    found = pearson_by_kind(scores, {name: 2 * score for name, score in scores.items()}, model)
    assert set(found) == {"embedding", "attention", "linear", "norm", "all"}
    assert found["all"] == pytest.approx(1.0)


def test_what_has_no_meaning_for_tokens_is_refused_with_the_way_out():
    model, batches = language_model("llama"), batches_of(ROWS, 4)
    with pytest.raises(InputError, match="likelihood_sensitivity"):
        mas_sensitivity(model, batches)
    with pytest.raises(InputError, match=r"empirical is False.*leave it True"):
        fisher(model, batches, empirical=False)
    for score in (fisher, likelihood_sensitivity):
        with pytest.raises(InputError, match=r"examples_at_once is 2.*pass 1"):
            score(model, batches, examples_at_once=2)
    bare = [{name: batches[0][name] for name in ("input_ids", "attention_mask")}]
    with pytest.raises(InputError, match="reference_batches lacks 'labels'"):
        privacy_vulnerability(model, batches, bare, initial_state=model.state_dict())
