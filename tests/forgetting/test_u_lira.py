"""U-LiRA: Gaussians of unlearned against never-seen models, judged on a model outside the fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from hf_privacy.errors import InputError
from hf_privacy.forgetting import u_lira, u_lira_scores
from hf_privacy.statistics import auc, summarize


def draw(n_models, n_examples, *, shift=0.0, seed=0):
    generator = np.random.default_rng(seed)
    hardness = np.random.default_rng(99).normal(0, 2, n_examples)
    return hardness + shift + generator.normal(size=(n_models, n_examples))


@pytest.mark.parametrize("variance", ["per_example", "pooled", "shrunk"])
def test_scores_are_the_log_likelihood_ratio_of_a_loop(variance):
    unlearned, never, target = draw(5, 7, shift=1), draw(4, 7, seed=1), draw(1, 7, seed=2)[0]
    pooled = [np.mean(table.var(axis=0, ddof=1)) for table in (unlearned, never)]
    scores = u_lira_scores(target, unlearned, never, variance=variance, prior_degrees=6)
    for example in range(7):
        expected = 0.0
        for sign, table, prior in zip((1, -1), (unlearned, never), pooled, strict=True):
            own, freedom = table[:, example].var(ddof=1), len(table) - 1
            squared = {
                "per_example": own,
                "pooled": prior,
                "shrunk": (6 * prior + freedom * own) / (6 + freedom),
            }[variance]
            expected += sign * norm.logpdf(target[example], table[:, example].mean(), np.sqrt(squared))
        assert scores[example] == pytest.approx(expected)


def test_every_model_is_scored_by_the_others_alone():
    unlearned, never = draw(4, 30, shift=1), draw(6, 30, seed=1)
    result = u_lira(unlearned, never, fprs=[0.1])
    assert result.unlearned_scores.shape == result.never_scores.shape == (4, 30)
    for pair in range(4):
        fit = np.delete(unlearned, pair, 0), np.delete(never, pair, 0)
        np.testing.assert_allclose(result.unlearned_scores[pair], u_lira_scores(unlearned[pair], *fit))
        np.testing.assert_allclose(result.never_scores[pair], u_lira_scores(never[pair], *fit))


def test_summary_is_that_of_all_scores_with_the_area_pair_by_pair():
    unlearned, never = draw(4, 60, shift=1), draw(4, 60, seed=1)
    result = u_lira(unlearned, never, fprs=[0.05], confidence=0.9)
    scores = np.concatenate([result.unlearned_scores.ravel(), result.never_scores.ravel()])
    expected = summarize(scores, np.arange(480) < 240, fprs=[0.05], confidence=0.9)
    same = ("balanced_accuracy", "advantage", "n_members", "n_nonmembers", "confidence")
    assert {key: result.summary[key] for key in same} == {key: expected[key] for key in same}
    assert result.summary["tpr_at_fpr"][0]["tpr"] == expected["tpr_at_fpr"][0]["tpr"]
    areas = [
        auc(np.concatenate([one, other]), np.arange(120) < 60)
        for one, other in zip(result.unlearned_scores, result.never_scores, strict=True)
    ]
    assert result.summary["auc"] == pytest.approx(np.mean(areas))
    assert (result.summary["n_pairs"], result.summary["n_examples"]) == (4, 60)


def test_intervals_are_never_narrower_than_those_of_independent_scores():
    unlearned, never = draw(8, 60, shift=1), draw(8, 60, seed=1)
    result = u_lira(unlearned, never, fprs=[0.05])
    scores = np.concatenate([result.unlearned_scores.ravel(), result.never_scores.ravel()])
    plain = summarize(scores, np.arange(960) < 480, fprs=[0.05])
    assert result.summary["auc_low"] <= plain["auc_low"] < plain["auc_high"] <= result.summary["auc_high"]
    ours, theirs = result.summary["tpr_at_fpr"][0], plain["tpr_at_fpr"][0]
    assert ours["low"] <= theirs["low"] < theirs["high"] <= ours["high"]


@pytest.mark.parametrize("variance", ["per_example", "pooled", "shrunk"])
@pytest.mark.parametrize("n_models", [(4, 4), (4, 9)])
def test_a_perfect_unlearner_scores_one_half_with_few_models_too(variance, n_models):
    areas, rates = [], []
    for seed in range(8):
        summary = u_lira(
            draw(n_models[0], 400, seed=2 * seed), draw(n_models[1], 400, seed=2 * seed + 1), variance=variance
        ).summary
        areas.append(summary["auc"])
        rates.append(summary["tpr_at_fpr"][0]["tpr"])
    assert np.mean(areas) == pytest.approx(0.5, abs=0.015)
    assert np.mean(rates) == pytest.approx(0.01, abs=0.006)


def test_a_rate_that_fewer_pairs_cannot_resolve_still_has_an_interval():
    unlearned, never = draw(4, 26, shift=1), draw(4, 26, seed=1)  # 104 scores a side, 78 without one pair
    [rate] = u_lira(unlearned, never, fprs=[0.01]).summary["tpr_at_fpr"]
    assert 0 <= rate["low"] <= rate["tpr"] <= rate["high"] <= 1
    [rate] = u_lira(unlearned, never, fprs=[0.001]).summary["tpr_at_fpr"]
    assert (rate["tpr"], rate["low"]) == (None, None)
    assert "cannot resolve" in rate["reason"]


@pytest.mark.parametrize("model_effect", [0.0, 0.5])
def test_the_interval_covers_one_half_for_a_perfect_unlearner(model_effect):
    """Also where whole models differ, which intervals over examples know nothing of."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(40):
        tables = generator.normal(size=(2, 5, 40)) + model_effect * generator.normal(size=(2, 5, 1))
        summary = u_lira(*tables, fprs=[0.1]).summary
        covered += summary["auc_low"] <= 0.5 <= summary["auc_high"]
    assert covered >= 36


def test_what_is_left_of_training_is_found_in_either_direction():
    for shift in (2.0, -2.0):  # over-forgetting gives membership away as well
        summary = u_lira(draw(6, 200, shift=shift), draw(6, 200, seed=1)).summary
        assert summary["auc"] > 0.85
        assert summary["tpr_at_fpr"][0]["tpr"] > 0.2


def test_deep_unlearn_scores_in_sample_and_finds_what_is_not_there():
    """The error of that peer: a model that took part in the fit looks like its side."""
    unlearned, never = draw(4, 400), draw(4, 400, seed=1)
    in_sample = np.concatenate(
        [u_lira_scores(unlearned[0], unlearned, never), u_lira_scores(never[0], unlearned, never)]
    )
    assert auc(in_sample, np.arange(800) < 400) > 0.55
    assert u_lira(unlearned, never).summary["auc"] == pytest.approx(0.5, abs=0.03)


def test_deep_unlearn_correctness_in_the_place_of_phi_is_refused():
    with pytest.raises(InputError, match="hold 0 and 1 alone: pass the signal φ"):
        u_lira(np.ones((4, 5)), np.zeros((4, 5)))


@pytest.mark.parametrize("variance", ["per_example", "pooled", "shrunk"])
def test_deep_unlearn_nan_at_sigma_zero_is_a_number_here(variance):
    never = draw(4, 50, seed=1)
    unlearned = draw(4, 50)
    unlearned[:, :10] = 3.0  # all models agree
    result = u_lira(unlearned, never, variance=variance, fprs=[0.1])
    assert np.isfinite(result.unlearned_scores).all()
    assert np.isfinite(result.never_scores).all()
    json.dumps(result.summary, allow_nan=False)


@pytest.mark.parametrize("variance", ["per_example", "pooled", "shrunk"])
def test_constant_models_tell_nothing_when_alike_and_everything_when_not(variance):
    alike = u_lira(np.full((4, 20), 2.5), np.full((4, 20), 2.5), variance=variance, fprs=[0.1])
    assert alike.summary["auc"] == 0.5
    apart = u_lira(np.full((4, 20), 2.5), np.full((4, 20), 2.0), variance=variance, fprs=[0.1])
    assert apart.summary["auc"] == 1.0
    assert np.isfinite(apart.unlearned_scores).all()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"unlearned_phi": draw(3, 5)}, "unlearned_phi has 3 rows: pass at least 4 models"),
        ({"never_phi": draw(4, 4)}, "never_phi has 4 columns for 5 examples"),
        ({"never_phi": np.full((4, 5), np.inf)}, "never_phi holds 20 NaN or infinite"),
        ({"variance": "global"}, "variance is 'global'"),
        ({"prior_degrees": 0}, "prior_degrees is 0"),
        ({"variance_floor": 0}, "variance_floor is 0"),
        ({"fprs": [2]}, "fprs holds 2"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else next(iter(value)),
)
def test_bad_input_is_refused(keywords, message):
    with pytest.raises(InputError, match=message):
        u_lira(**{"unlearned_phi": draw(4, 5), "never_phi": draw(4, 5, seed=1), **keywords})
