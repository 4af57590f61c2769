"""Memorization of rows by their likelihood, and of groups of rows, against loops typed anew."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from hf_privacy.errors import InputError
from hf_privacy.memorization import (
    correlation_table,
    feldman_zhang,
    group_memorization,
    likelihood_memorization,
    memorization_standard_error,
)

N_MODELS, N_ROWS = 10, 12
GROUPS = np.repeat(["c", "a", "d", "b"], 3)


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihoods and membership: groups of three rows, each in half the models."""
    rng = np.random.default_rng(seed)
    sides = np.array([rng.permutation(np.arange(N_MODELS) % 2 == 0) for _ in range(4)]).T  # [models, groups]
    membership = sides[:, np.repeat(np.arange(4), 3)]
    return -rng.exponential(1.0, (N_MODELS, N_ROWS)) / (1 + membership), membership


def by_loop(values, membership, function):
    scores, errors = [], []
    for row in range(values.shape[1]):
        inside = [function(values[k, row]) for k in range(len(values)) if membership[k, row]]
        outside = [function(values[k, row]) for k in range(len(values)) if not membership[k, row]]
        scores.append(sum(inside) / len(inside) - sum(outside) / len(outside))
        variance = 0.0
        for side in (inside, outside):
            mean = sum(side) / len(side)
            variance += sum((value - mean) ** 2 for value in side) / (len(side) - 1) / len(side)
        errors.append(math.sqrt(variance))
    return scores, errors


@pytest.mark.parametrize(("measure", "function"), [("probability", math.exp), ("log_likelihood", float)])
def test_scores_and_errors_are_those_of_a_loop(measure, function):
    values, membership = drawn()
    found = likelihood_memorization(values, membership, measure=measure)
    scores, errors = by_loop(values, membership, function)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-12)
    np.testing.assert_allclose(found.standard_error, errors, rtol=1e-9)


def test_by_probability_it_is_feldman_and_zhangs_score_of_that_probability():
    values, membership = drawn()
    found = likelihood_memorization(values, membership)
    np.testing.assert_allclose(found.scores, feldman_zhang(np.exp(values), membership), rtol=1e-12)
    expected = memorization_standard_error(np.exp(values), membership)
    np.testing.assert_allclose(found.standard_error, expected, rtol=1e-12)


def test_models_and_rows_come_in_any_order():
    values, membership = drawn()
    whole = likelihood_memorization(values, membership)
    rng = np.random.default_rng(1)
    models, rows = rng.permutation(N_MODELS), rng.permutation(N_ROWS)
    turned = likelihood_memorization(list(values[models][:, rows]), list(membership[models][:, rows]))
    np.testing.assert_allclose(turned.scores, whole.scores[rows], rtol=1e-12)
    np.testing.assert_allclose(turned.standard_error, whole.standard_error[rows], rtol=1e-9)


def test_one_model_a_side_has_no_finite_error():
    found = likelihood_memorization([[-1.0], [-2.0]], [[True], [False]])
    assert found.scores == pytest.approx([math.exp(-1) - math.exp(-2)])
    assert np.isinf(found.standard_error).all()


@pytest.mark.parametrize(("measure", "function"), [("probability", np.exp), ("log_likelihood", np.array)])
def test_a_groups_score_is_the_mean_of_its_rows_and_its_interval_welchs(measure, function):
    values, membership = drawn()
    found = group_memorization(values, membership, GROUPS, measure=measure)
    rows = likelihood_memorization(values, membership, measure=measure).scores
    assert found.groups.tolist() == ["a", "b", "c", "d"]
    assert found.n_rows.tolist() == [3, 3, 3, 3]
    for number, name in enumerate(found.groups):
        inside = name == GROUPS
        assert found.scores[number] == pytest.approx(rows[inside].mean(), rel=1e-12)
        means, sides = function(values)[:, inside].mean(axis=1), membership[:, inside][:, 0]
        interval = ttest_ind(means[sides], means[~sides], equal_var=False).confidence_interval(0.95)
        np.testing.assert_allclose([found.low[number], found.high[number]], interval, rtol=1e-9)


def test_more_rows_alike_make_a_group_no_surer():
    """A model counts once for a group: its rows are not that many draws."""
    values, membership = drawn()
    once = group_memorization(values[:, ::3], membership[:, ::3], GROUPS[::3])
    thrice = group_memorization(np.repeat(values[:, ::3], 3, axis=1), membership, GROUPS)
    np.testing.assert_allclose(thrice.standard_error, once.standard_error, rtol=1e-9)
    np.testing.assert_allclose(thrice.scores, once.scores, rtol=1e-9)


def test_intervals_of_nothing_memorized_hold_nothing_as_often_as_they_say():
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(200):
        membership = np.array([rng.permutation(np.arange(8) % 2 == 0) for _ in range(5)]).T
        found = group_memorization(-rng.exponential(1.0, (8, 5)), membership, np.arange(5))
        covered.append((found.low <= 0) & (found.high >= 0))
    assert np.mean(covered) > 0.92


def test_without_groups_of_several_rows_it_is_the_rows_own_score():
    values, membership = drawn()
    found = group_memorization(values, membership, np.arange(N_ROWS))
    rows = likelihood_memorization(values, membership)
    np.testing.assert_allclose(found.scores, rows.scores, rtol=1e-12)
    np.testing.assert_allclose(found.standard_error, rows.standard_error, rtol=1e-9)


def test_models_that_agree_have_an_interval_without_width_and_single_ones_all_there_is():
    agreeing = group_memorization(np.log([[0.5], [0.5], [0.2], [0.2]]), [[True], [True], [False], [False]], [0])
    assert agreeing.low == pytest.approx([0.3])
    assert agreeing.high == pytest.approx([0.3])
    single = group_memorization(np.log([[0.5], [0.2]]), [[True], [False]], [0])
    assert single.low.tolist() == [-1.0]
    assert single.high.tolist() == [1.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"log_likelihood": np.full((N_MODELS, N_ROWS), 0.5)}, "finite and at most 0"),
        ({"log_likelihood": np.full((N_MODELS, N_ROWS), np.nan)}, "finite and at most 0"),
        ({"log_likelihood": np.full((N_MODELS, N_ROWS), -np.inf)}, "finite and at most 0"),
        ({"log_likelihood": np.full((N_MODELS, 5), -1.0)}, "pass 12 values a row"),
        ({"reference_membership": np.ones((N_MODELS, N_ROWS), dtype=bool)}, "are IN for all 10"),
        ({"measure": "loss"}, "measure is 'loss'"),
    ],
)
def test_what_cannot_be_is_refused_by_rows_and_by_groups(change, said):
    values, membership = drawn()
    arguments = {"log_likelihood": values, "reference_membership": membership, **change}
    with pytest.raises(InputError, match=said):
        likelihood_memorization(**arguments)
    with pytest.raises(InputError, match=said):
        group_memorization(**arguments, groups=GROUPS)


def test_a_group_that_is_torn_is_refused():
    values, membership = drawn()
    membership[2, 4] = not membership[2, 4]
    with pytest.raises(InputError, match="1 of 4 groups are IN reference model 2 with some of their rows only"):
        group_memorization(values, membership, GROUPS)
    with pytest.raises(InputError, match="groups"):
        group_memorization(*drawn(), GROUPS[:5])


def test_correlations_by_group_are_less_sure_where_the_rows_of_a_group_are_alike():
    rng = np.random.default_rng(5)
    authors = np.repeat(np.arange(12), 20)
    scores, proxy = rng.normal(size=12)[authors], rng.normal(size=12)[authors]
    scores, proxy = scores + 0.01 * rng.normal(size=240), proxy + 0.01 * rng.normal(size=240)
    rows = correlation_table(scores, {"proxy": proxy})["proxy"]
    whole = correlation_table(scores, {"proxy": proxy}, groups=authors)["proxy"]
    assert whole["spearman"] == rows["spearman"]
    assert whole["spearman_high"] - whole["spearman_low"] > 2 * (rows["spearman_high"] - rows["spearman_low"])
    alone = correlation_table(scores, {"proxy": proxy}, groups=np.arange(240))["proxy"]
    assert alone == rows
