"""What a report keeps of the scores."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import auc

from hf_privacy.errors import InputError
from hf_privacy.reports import curve_of
from hf_privacy.statistics import roc, tpr_at_fpr
from hf_privacy.statistics.tpr import allowed_false_positives


def scores_of(n: int, *, shift: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    membership = np.arange(2 * n) < n
    return np.random.default_rng(seed).normal(size=2 * n) + shift * membership, membership


def read_tpr(curve: dict, fpr: float) -> float:
    return max(t for f, t in zip(curve["fpr"], curve["tpr"], strict=True) if f <= fpr * (1 + 1e-12))


@pytest.mark.parametrize("n", [30, 1000, 20_000])
@pytest.mark.parametrize("fpr", [1e-3, 1e-2, 1e-1])
def test_tpr_at_fpr_can_be_read_off_the_thinned_curve_exactly(n, fpr):
    scores, membership = scores_of(n)
    expected = tpr_at_fpr(scores, membership, fpr=fpr)["tpr"]
    if expected is not None:
        assert read_tpr(curve_of(scores, membership), allowed_false_positives(n, fpr) / n) == expected


def test_tied_scores_keep_tpr_at_fpr_exact():
    scores, membership = scores_of(5000)
    scores = np.round(scores, 1)
    expected = tpr_at_fpr(scores, membership, fpr=0.01)["tpr"]
    assert read_tpr(curve_of(scores, membership), allowed_false_positives(5000, 0.01) / 5000) == expected


@pytest.mark.parametrize("shift", [0.0, 1.0, 100.0])
def test_at_most_200_points_with_both_ends(shift):
    curve = curve_of(*scores_of(50_000, shift=shift))
    assert 2 <= len(curve["fpr"]) == len(curve["tpr"]) <= 200
    assert (curve["fpr"][0], curve["tpr"][0]) == (0.0, 0.0)
    assert (curve["fpr"][-1], curve["tpr"][-1]) == (1.0, 1.0)
    assert np.all(np.diff(curve["fpr"]) >= 0)
    assert np.all(np.diff(curve["tpr"]) >= 0)


def test_every_kept_point_lies_on_the_full_curve():
    scores, membership = scores_of(3000)
    curve = curve_of(scores, membership)
    fpr, tpr, _ = roc(scores, membership)
    assert set(zip(curve["fpr"], curve["tpr"], strict=True)) <= set(zip(fpr, tpr, strict=True))


def test_the_best_point_without_a_false_positive_is_kept():
    scores, membership = scores_of(1000, shift=3.0)
    fpr, tpr, _ = roc(scores, membership)
    assert read_tpr(curve_of(scores, membership), 0.0) == tpr[fpr == 0].max() > 0


def test_area_of_the_thinned_curve_is_that_of_the_full_one():
    scores, membership = scores_of(20_000)
    curve = curve_of(scores, membership)
    fpr, tpr, _ = roc(scores, membership)
    assert auc(curve["fpr"], curve["tpr"]) == pytest.approx(auc(fpr, tpr), abs=2e-3)


@pytest.mark.parametrize("far", [np.inf, -np.inf, 1e300, -1e300, 1e9])
def test_infinite_or_far_out_scores_fall_into_the_outermost_bins(far):
    scores, membership = scores_of(1000)
    scores[:3] = far
    curve = curve_of(scores, membership)
    edges = np.array(curve["score_edges"])
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()
    assert edges[-1] - edges[0] < 20
    assert sum(curve["member_counts"]) == 1000 == sum(curve["nonmember_counts"])
    assert curve["member_counts"][-1 if far > 0 else 0] >= 3


@pytest.mark.parametrize("value", [0.0, 7.0, 1e16, -1e12, np.inf])
def test_constant_scores_give_a_diagonal_and_one_full_bin(value):
    curve = curve_of(np.full(10, value), np.arange(10) < 5)
    assert (curve["fpr"], curve["tpr"]) == ([0.0, 1.0], [0.0, 1.0])
    assert sorted(curve["member_counts"])[-1] == 5
    assert (np.diff(curve["score_edges"]) > 0).all()


def test_a_rare_second_value_stays_visible_beside_a_tie():
    scores = np.r_[np.ones(997), np.zeros(3)]  # correctness 0/1 of a nearly perfect model
    curve = curve_of(scores, np.arange(1000) % 2 == 0)
    assert (curve["score_edges"][0], curve["score_edges"][-1]) == (0.0, 1.0)
    assert curve["member_counts"][0] + curve["nonmember_counts"][0] == 3


def test_both_histograms_share_forty_bins():
    curve = curve_of(*scores_of(100))
    assert len(curve["score_edges"]) == 41
    assert len(curve["member_counts"]) == len(curve["nonmember_counts"]) == 40


def test_values_are_plain_python():
    curve = curve_of(*scores_of(50))
    assert {type(value) for name in ("fpr", "tpr", "score_edges") for value in curve[name]} == {float}
    assert {type(count) for count in curve["member_counts"]} == {int}


def test_nan_scores_are_refused():
    with pytest.raises(InputError, match="scores holds 1 NaN"):
        curve_of([np.nan, 1.0], np.array([True, False]))


def test_members_alone_are_refused():
    with pytest.raises(InputError, match="membership holds only members"):
        curve_of([0.0, 1.0], np.array([True, True]))
