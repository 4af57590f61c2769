"""TOFU's figures against their formulas typed anew, their floors, and the slips of released code."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import hmean

from hf_privacy.errors import InputError
from hf_privacy.forgetting import (
    answer_probability,
    tofu_forget_quality,
    tofu_utility,
    truth_ratio,
    truth_ratio_scores,
)

GENERATOR = np.random.default_rng(0)
RIGHT, WRONG = -GENERATOR.uniform(0.1, 3, 30), -GENERATOR.uniform(0.1, 3, (30, 5))


def test_truth_ratio_is_the_geometric_mean_over_the_paraphrase():
    expected = [
        math.prod(math.exp(value) for value in row) ** (1 / len(row)) / math.exp(right)
        for row, right in zip(WRONG, RIGHT, strict=True)
    ]
    np.testing.assert_allclose(truth_ratio(RIGHT, WRONG), expected)


def test_the_arithmetic_form_of_tofus_own_code_is_another_and_never_smaller():
    arithmetic = np.exp(WRONG).mean(axis=1) / np.exp(RIGHT)
    assert (arithmetic >= truth_ratio(RIGHT, WRONG)).all()
    assert not np.allclose(arithmetic, truth_ratio(RIGHT, WRONG))


def test_answers_as_likely_as_each_other_have_ratio_one_and_the_forget_score_one():
    ratio = truth_ratio(RIGHT, np.repeat(RIGHT[:, None], 5, axis=1))
    np.testing.assert_allclose(ratio, 1)
    np.testing.assert_allclose(truth_ratio_scores(ratio, part="forget"), 1)
    np.testing.assert_allclose(truth_ratio_scores(ratio, part="kept"), 0, atol=1e-12)


def test_scores_are_the_formulas_and_finite_for_a_diverged_model():
    ratio = truth_ratio(RIGHT, WRONG)
    assert truth_ratio_scores(ratio, part="forget").tolist() == [min(r, 1 / r) for r in ratio]
    assert truth_ratio_scores(ratio, part="kept").tolist() == [max(0, 1 - r) for r in ratio]
    extreme = truth_ratio([-2000.0, 0.0], [[-1.0], [-2000.0]])
    assert np.isfinite(extreme).all()
    for part in ("forget", "kept"):
        assert np.isfinite(truth_ratio_scores(extreme, part=part)).all()


def test_probability_alone_and_as_a_choice():
    p, wrong = np.exp(RIGHT), np.exp(WRONG)
    np.testing.assert_allclose(answer_probability(RIGHT), p)
    np.testing.assert_allclose(answer_probability(RIGHT, WRONG), p / (p + wrong.sum(axis=1)))
    assert answer_probability([-2000.0], [[-2000.0, -3000.0]]).tolist() == [0.5]


@pytest.mark.parametrize(("n", "floor"), [(40, 1.86e-23), (200, 1.94e-119), (400, 1.06e-239)])
def test_models_that_do_not_overlap_reach_the_floor_however_far_apart(n, floor):
    retrained = GENERATOR.random((3, n))
    for distance in (2.0, 2000.0):  # the published figures of gradient ascent are these
        found = tofu_forget_quality(retrained[0] + distance, retrained)
        assert found["statistic"] == found["statistic_min"] == found["beyond_null"] == 1.0
        assert found["p_value"] == found["floor"] == pytest.approx(floor, rel=0.01)


def naive_statistic(first, second):
    points = np.concatenate([first, second])
    return max(abs(np.mean(first <= x) - np.mean(second <= x)) for x in points)


def test_statistic_and_null_are_those_of_a_loop_over_pairs():
    unlearned, retrained = GENERATOR.normal(0.4, 1, (2, 25)), GENERATOR.normal(size=(4, 25))
    found = tofu_forget_quality(unlearned, retrained)
    pairs = [naive_statistic(a, b) for a in unlearned for b in retrained]
    null = [naive_statistic(a, b) for a, b in itertools.combinations(retrained, 2)]
    assert found["statistic"] == pytest.approx(np.mean(pairs))
    assert (found["statistic_min"], found["statistic_max"]) == pytest.approx((min(pairs), max(pairs)))
    assert (found["null"], found["null_min"], found["null_max"]) == pytest.approx(
        (np.mean(null), min(null), max(null))
    )
    assert found["beyond_null"] == pytest.approx(np.mean(np.array(pairs) > max(null)))


def test_a_file_compared_with_itself_is_no_perfect_score_here():
    retrained = GENERATOR.normal(size=(3, 40))
    # "Retrained: 1.0" of published tables is one model beside itself: the null says what another seed gets.
    found = tofu_forget_quality(retrained[0], retrained)
    assert found["statistic_min"] == 0.0 < found["null_min"]
    assert found["null_p_value"] < 1.0


def test_one_file_passed_as_every_retrained_model_has_no_null():
    """As the documentation of a released benchmark passed one file twice: every distance would be 0."""
    retrained = GENERATOR.normal(size=(3, 40))
    with pytest.raises(InputError, match="retrained holds the same model twice"):
        tofu_forget_quality(retrained[0], retrained[[0, 1, 0]])


def test_utility_is_the_harmonic_mean_of_nine_and_zero_with_one_of_them():
    figures = GENERATOR.uniform(0.1, 0.9, (3, 3))
    assert tofu_utility(*figures) == pytest.approx(hmean(figures.ravel()))
    figures[1, 2] = 0.0
    assert tofu_utility(*figures) == 0.0
    figures[1, 2] = 1e-300
    assert 0 < tofu_utility(*figures) < 1e-298


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: truth_ratio([1.0], [[-1.0]]),
            "paraphrase goes up to 1: a log-likelihood is at most 0, this",
        ),
        (lambda: truth_ratio([-1.0, -2.0], [[-1.0, -2.0]]), r"perturbed has shape \(1, 2\) for 2 answers"),
        (lambda: truth_ratio_scores([-0.1], part="forget"), "ratio goes down to -0.1"),
        (lambda: truth_ratio_scores([0.1], part="retain"), "part is 'retain': pass 'forget' or 'kept'"),
        (lambda: tofu_forget_quality([1.0, 2.0], np.ones((2, 2))), "retrained has 2 rows: pass at least 3 models"),
        (lambda: tofu_utility([0.1, 0.2], [0.1] * 3, [0.1] * 3), r"probability has shape \(2,\): pass three figures"),
        (lambda: tofu_utility([0.1] * 3, [0.1, 50, 3], [0.1] * 3), "rouge goes from 0.1 to 50: pass shares"),
    ],
)
def test_what_is_no_such_figure_is_refused_in_a_sentence(call, message):
    with pytest.raises(InputError, match=message):
        call()
