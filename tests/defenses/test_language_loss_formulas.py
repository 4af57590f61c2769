"""Each defended loss of a language model and its gradient in the logits, against a loop over rows and tokens."""

from __future__ import annotations

import pytest
import torch
from tiny_language import language_model, token_rows

from hf_privacy.defenses import (
    CCLConfig,
    CCLTrainer,
    ConfidencePenaltyConfig,
    ConfidencePenaltyTrainer,
    FocalLossConfig,
    FocalLossTrainer,
    LabelSmoothingConfig,
    LabelSmoothingTrainer,
    RelaxLossConfig,
    RelaxLossTrainer,
)
from hf_privacy.models import ScoredTokens, scored_tokens

V = 61
BATCH = token_rows().__getitems__(range(8))
# Some right, most wrong, none alike.
LOGITS = 2 * torch.randn(8, 12, V, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
LOGITS[:, :-1].scatter_add_(
    2, BATCH["input_ids"][:, 1:, None], torch.linspace(0, 9, 88, dtype=torch.float64).reshape(8, 11, 1)
)


@pytest.fixture(params=["at once", "in chunks"])
def loss_and_gradient(request, make_args, monkeypatch):
    """Give a function from trainer, config and arguments to the loss and its gradient in all logits."""
    if request.param == "in chunks":
        monkeypatch.setattr(scored_tokens, "_CHUNK_ELEMENTS", V * 5)

    def compute(trainer_class, config_class, *, epoch=0.0, **arguments):
        args = make_args(config_class, **arguments)
        trainer = trainer_class(language_model("llama"), args, train_dataset=token_rows())
        trainer.state.epoch = epoch
        logits = LOGITS.clone().requires_grad_()
        trainer.forward_without_labels = lambda model, inputs: ScoredTokens.of_logits(logits, inputs["labels"])
        loss, _ = trainer.training_loss(trainer.model, BATCH)
        (gradient,) = torch.autograd.grad(loss, logits)
        return loss.detach(), gradient

    return compute


def naive(of_token, *, over="rows"):
    """The mean over rows of each row's own mean, or over all tokens, of a function of one token's logits and number.

    And its gradient in all logits.
    """
    logits = LOGITS.clone().requires_grad_()
    rows = []
    for row in range(8):
        values = [
            of_token(logits[row, place - 1], int(BATCH["labels"][row, place]))
            for place in range(1, 12)
            if BATCH["labels"][row, place] != -100
        ]
        rows.append(torch.stack(values))
    mean = torch.stack([values.mean() for values in rows]).mean() if over == "rows" else torch.cat(rows).mean()
    (gradient,) = torch.autograd.grad(mean, logits)
    return mean.detach(), gradient


def loss_of(logits, token):
    return -(logits - logits.logsumexp(0))[token]


def assert_close(found, wanted):
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    assert wanted[1].abs().max() > 1e-4


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_the_confidence_penalty_subtracts_each_tokens_entropy_in_its_rows_mean(beta, loss_and_gradient):
    def of_token(logits, token):
        p = logits.softmax(0)
        return loss_of(logits, token) + beta * (p * p.log()).sum()

    found = loss_and_gradient(ConfidencePenaltyTrainer, ConfidencePenaltyConfig, beta=beta)
    assert_close(found, naive(of_token))


@pytest.mark.parametrize("concave_term", ["p", "exp_p"])
def test_ccl_is_taken_token_by_token_and_not_of_a_rows_mean(concave_term, loss_and_gradient):
    def of_token(logits, token):
        p = logits.softmax(0)[token]
        return 0.7 * (0.3 * loss_of(logits, token) - 0.7 * (p if concave_term == "p" else p.exp()))

    settings = {"alpha": 0.3, "beta": 0.7, "concave_term": concave_term}
    assert_close(loss_and_gradient(CCLTrainer, CCLConfig, **settings), naive(of_token))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss_weighs_each_token_by_the_doubt_left_in_it(gamma, loss_and_gradient):
    def of_token(logits, token):
        return (1 - logits.softmax(0)[token]) ** gamma * loss_of(logits, token)

    assert_close(loss_and_gradient(FocalLossTrainer, FocalLossConfig, gamma=gamma), naive(of_token))


@pytest.mark.parametrize("average", [None, "token", "example"])
def test_label_smoothing_mixes_each_token_with_the_vocabulary(average, loss_and_gradient):
    def of_token(logits, token):
        log_p = logits.log_softmax(0)
        return -(0.8 * log_p[token] + 0.2 * log_p.mean())

    settings = {"label_smoothing_factor": 0.2, "loss_average": average}
    wanted = naive(of_token, over="rows" if average == "example" else "tokens")
    assert_close(loss_and_gradient(LabelSmoothingTrainer, LabelSmoothingConfig, **settings), wanted)


MEAN = float(naive(loss_of)[0])


@pytest.mark.parametrize(("alpha", "sign"), [(MEAN - 0.3, 1), (MEAN + 0.3, -1)])
def test_relax_loss_keeps_the_mean_over_rows_at_alpha_in_nats_a_token(alpha, sign, loss_and_gradient):
    mean, gradient = naive(loss_of)
    for epoch in (0.0, 2.5):
        found = loss_and_gradient(RelaxLossTrainer, RelaxLossConfig, epoch=epoch, alpha=alpha)
        assert_close(found, ((mean - alpha).abs(), sign * gradient))
    if sign > 0:
        found = loss_and_gradient(RelaxLossTrainer, RelaxLossConfig, epoch=1.0, alpha=alpha)
        assert_close(found, (mean, gradient))


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("cap", [1.0, 0.4])
@pytest.mark.parametrize("flattening", ["with_ascent", "soft_labels_only"])
def test_relax_loss_flattens_over_the_vocabulary_token_by_token(flattening, cap, detach, loss_and_gradient):
    def of_token(logits, token):
        log_p = logits.log_softmax(0)
        share = log_p[token].exp().clamp(max=cap)
        share = share.detach() if detach else share
        soft = -share * log_p[token]
        for other in range(V):
            if other != token:
                soft = soft - (1 - share) / (V - 1) * log_p[other]
        if flattening == "soft_labels_only":
            return soft
        return (soft if int(logits.argmax()) != token else 0.0) + log_p[token]

    settings = {"flattening": flattening, "confidence_cap": cap, "detach_soft_labels": detach}
    found = loss_and_gradient(RelaxLossTrainer, RelaxLossConfig, epoch=1.0, alpha=MEAN + 1.0, **settings)
    assert_close(found, naive(of_token))
