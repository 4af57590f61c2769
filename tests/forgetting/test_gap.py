"""Unlearning gap: UA, RA, TA and MIA against retraining, in points and in retraining's own noise."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.forgetting import FIGURES, gap_table, mia_efficacy, unlearning_figures, unlearning_gap
from hf_privacy.statistics import t_interval

RETRAINED = {"UA": 0.0524, "RA": 1.0, "TA": 0.9426, "MIA": 0.1288}
SALUN = {"UA": 0.0285, "RA": 0.9962, "TA": 0.9393, "MIA": 0.1439}


def models(n, *, seed=0, spread=0.01):
    generator = np.random.default_rng(seed)
    centre = {"UA": 0.2, "RA": 0.9, "TA": 0.8, "MIA": 0.3}
    return [{name: value + spread * generator.normal() for name, value in centre.items()} for _ in range(n)]


# ---- figures from arrays ----


def test_figures_are_counts_by_hand():
    figures = unlearning_figures(
        [1, 0, 1, 1],
        [1, 1],
        [1, 0],
        forget_scores=[0.9, 0.1, 0.9, 0.9],
        retain_scores=[0.8, 1.0],
        test_scores=[0.2, 0.1],
    )
    assert figures == {"UA": 0.25, "RA": 1.0, "TA": 0.5, "MIA": 0.25}


def test_mia_is_that_of_mia_efficacy_and_is_left_out_without_scores():
    generator = np.random.default_rng(0)
    forget, retain, test = generator.normal([0.5, 1, 0], 1, (60, 3)).T
    figures = unlearning_figures(
        [1, 0], [1], [1], forget_scores=forget, retain_scores=retain, test_scores=test, attack="logistic"
    )
    assert figures["MIA"] == mia_efficacy(forget, retain, test, attack="logistic")["mia_efficacy"]
    assert list(unlearning_figures([1, 0], [1], [1])) == ["UA", "RA", "TA"]
    with pytest.raises(InputError, match="test_scores is missing: pass the scores of all three sets"):
        unlearning_figures([1, 0], [1], [1], forget_scores=forget, retain_scores=retain)


# ---- the gap ----


def test_published_row_is_reproduced():
    """SalUn, CIFAR-10, 10 % random: the published average gap of 1.15 points."""
    result = unlearning_gap(SALUN, RETRAINED)
    assert 100 * result["avg_gap"] == pytest.approx((2.39 + 0.38 + 0.33 + 1.51) / 4, abs=1e-9)
    assert round(100 * result["avg_gap"], 2) == 1.15
    assert result["avg_gap_of_means"] == pytest.approx(result["avg_gap"])
    assert result["figures"]["UA"]["gap"] == pytest.approx(0.0285 - 0.0524)


def test_gaps_by_a_loop():
    unlearned, retrained = models(4, seed=1, spread=0.05), models(5, seed=2)
    result = unlearning_gap(unlearned, retrained)
    mean = {name: np.mean([model[name] for model in retrained]) for name in FIGURES}
    per_model = [np.mean([abs(model[name] - mean[name]) for name in FIGURES]) for model in unlearned]
    assert result["avg_gap"] == pytest.approx(np.mean(per_model))
    assert (result["avg_gap_low"], result["avg_gap_high"]) == pytest.approx(t_interval(per_model, within=(0, 1)))
    of_means = [abs(np.mean([model[name] for model in unlearned]) - mean[name]) for name in FIGURES]
    assert result["avg_gap_of_means"] == pytest.approx(np.mean(of_means))
    assert result["avg_gap_of_means"] <= result["avg_gap"]
    others = []
    for left_out, model in enumerate(retrained):
        rest = [other for place, other in enumerate(retrained) if place != left_out]
        others.append(np.mean([abs(model[name] - np.mean([other[name] for other in rest])) for name in FIGURES]))
    assert result["null"]["avg_gap"] == pytest.approx(np.mean(others))
    assert result["avg_gap_in_noise"] == pytest.approx(np.mean(per_model) / np.mean(others))
    ua = result["figures"]["UA"]
    assert ua["gap_in_noise"] == pytest.approx(ua["gap"] / np.std([model["UA"] for model in retrained], ddof=1))


def test_a_perfect_unlearner_scores_the_null():
    ratios = []
    for seed in range(60):
        drawn = models(10, seed=seed)
        ratios.append(unlearning_gap(drawn[:5], drawn[5:])["avg_gap_in_noise"])
    assert np.median(ratios) == pytest.approx(1.0, abs=0.1)
    worse = unlearning_gap(models(5, seed=0, spread=0.05), models(5, seed=1))
    assert worse["avg_gap_in_noise"] > 2


def test_a_retrained_model_left_out_gives_its_part_of_the_null():
    retrained = models(4)
    parts = [unlearning_gap(retrained[i], retrained[:i] + retrained[i + 1 :])["avg_gap"] for i in range(4)]
    assert unlearning_gap(SALUN, retrained)["null"]["avg_gap"] == pytest.approx(np.mean(parts))


def test_one_retrained_model_has_no_null_and_two_no_units():
    one = unlearning_gap(SALUN, RETRAINED)
    assert one["null"] is None
    assert one["avg_gap_in_noise"] is None
    assert one["figures"]["UA"]["retrained_std"] is None
    two = unlearning_gap(SALUN, models(2))
    assert two["null"]["avg_gap"] > 0
    assert (two["avg_gap_in_noise"], two["null"]["avg_gap_low"]) == (None, None)
    assert two["figures"]["UA"]["gap_in_noise"] is None


def test_retrained_models_that_agree_give_no_nan_and_no_infinite_unit():
    """RA is 100 for every retrained model in most published tables: σ = 0."""
    retrained = [{**model, "RA": 1.0} for model in models(3)]
    result = unlearning_gap({**SALUN, "RA": 1.0}, retrained)
    assert (result["figures"]["RA"]["retrained_std"], result["figures"]["RA"]["gap_in_noise"]) == (0.0, 0.0)
    result = unlearning_gap(SALUN, retrained)
    assert result["figures"]["RA"]["gap_in_noise"] is None
    assert result["avg_gap_in_noise"] > 0
    json.dumps(result, allow_nan=False)
    same = unlearning_gap(SALUN, [dict.fromkeys(FIGURES, 0.1)] * 3)  # 0.1 has no exact mean of three
    assert (same["null"]["avg_gap"], same["avg_gap_in_noise"]) == (0.0, None)


def test_a_stored_log_may_hold_more_than_the_figures():
    log = {**RETRAINED, "seed": 3, "note": "retrained", "seconds": 12.5}
    assert unlearning_gap(SALUN, log) == unlearning_gap(SALUN, RETRAINED)
    assert unlearning_gap(SALUN, json.loads(json.dumps([log]))) == unlearning_gap(SALUN, RETRAINED)


def test_table_prints_the_retrain_against_retrain_row():
    lines = gap_table(unlearning_gap(SALUN, models(3))).splitlines()
    assert lines[0] == "|  | UA | RA | TA | MIA | AvgGap |"
    assert lines[-1].startswith("| retrain vs retrain | ")
    assert "one retrained model has none" in gap_table(unlearning_gap(SALUN, RETRAINED))
    assert {line.count("|") for line in lines} == {7}


@pytest.mark.parametrize(
    ("unlearned", "retrained", "keywords", "message"),
    [
        ({"UA": 0.1}, RETRAINED, {}, "unlearned[0] lacks RA"),
        (SALUN, [RETRAINED, {"UA": 0.1}], {}, "retrained[1] lacks RA"),
        ({**SALUN, "UA": 2.85}, RETRAINED, {}, "UA of unlearned[0] is 2.85: pass a number in [0, 1]"),
        ({**SALUN, "UA": float("nan")}, RETRAINED, {}, "UA of unlearned[0] is nan"),
        ({**SALUN, "UA": None}, RETRAINED, {}, "UA of unlearned[0] is None"),
        ([], RETRAINED, {}, "unlearned is empty"),
        (SALUN, [], {}, "retrained is empty"),
        (SALUN, ["log.json"], {}, "retrained[0] is str"),
        (SALUN, RETRAINED, {"figures": []}, "figures is []"),
        (SALUN, RETRAINED, {"confidence": 1}, "confidence is 1"),
    ],
    ids=str,
)
def test_bad_input_is_refused(unlearned, retrained, keywords, message):
    with pytest.raises(InputError, match=re.escape(message)):
        unlearning_gap(unlearned, retrained, **keywords)
