"""The summary slice by slice: each as if attacked alone, none on a handful of examples."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.statistics import summarize, summarize_slices


def draw(seed=0, n=1200):
    generator = np.random.default_rng(seed)
    membership = generator.random(n) < 0.5
    groups = generator.integers(0, 3, n)
    scores = generator.normal(size=n) + membership * np.array([0.0, 0.5, 2.0])[groups]
    return scores, membership, groups


def test_each_slice_is_the_summary_of_its_examples():
    scores, membership, groups = draw()
    slices = summarize_slices(scores, membership, groups, fprs=[0.05], confidence=0.9)
    assert list(slices) == [0, 1, 2]
    for label, summary in slices.items():
        chosen = groups == label
        assert summary == summarize(scores[chosen], membership[chosen], fprs=[0.05], confidence=0.9)
    assert slices[2]["auc"] > slices[1]["auc"] > slices[0]["auc"]


def test_labels_may_be_words_and_come_back_as_plain_values():
    scores, membership, groups = draw()
    named = summarize_slices(scores, membership, np.array(["cat", "dog", "eel"])[groups])
    assert list(named) == ["cat", "dog", "eel"]
    assert all(type(label) is str for label in named)
    assert json.loads(json.dumps(named)) == named
    assert list(named.values()) == list(summarize_slices(scores, membership, groups).values())


def test_a_slice_of_too_few_is_refused_with_the_reason_and_the_others_stand():
    scores, membership, groups = draw()
    groups[:7] = 9
    slices = summarize_slices(scores, membership, groups)
    n_members = int(membership[:7].sum())
    assert slices[9] == {
        "n_members": n_members,
        "n_nonmembers": 7 - n_members,
        "reason": f"{n_members} members and {7 - n_members} non-members: a slice needs at least 30 of each",
    }
    assert "auc" in slices[0]


def test_a_slice_of_members_only_is_refused_too():
    membership = np.r_[np.ones(50, bool), np.arange(100) < 50]
    slices = summarize_slices(np.arange(150.0), membership, np.r_[np.zeros(50, int), np.ones(100, int)])
    assert slices[0]["reason"].startswith("50 members and 0 non-members")
    assert slices[1]["n_members"] == 50


def test_the_least_number_of_examples_is_allowed():
    slices = summarize_slices(np.arange(8.0), np.arange(8) % 2 == 0, np.arange(8) // 4, min_examples=2, fprs=())
    assert all("auc" in summary for summary in slices.values())


def test_simultaneous_intervals_share_the_risk_among_the_summarized_slices():
    scores, membership, groups = draw()
    groups[:4] = 9  # too small: takes no share
    together = summarize_slices(scores, membership, groups, simultaneous=True)
    chosen = groups == 1
    assert together[1] == summarize(
        scores[chosen], membership[chosen], fprs=(0.01, 0.1), confidence=1 - (1 - 0.95) / 3
    )


def test_null_behaviour_the_worst_of_many_slices_is_within_simultaneous_intervals_only():
    generator = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 80)
    membership = np.tile(np.arange(80) < 40, 20)
    missed = {False: 0, True: 0}
    repetitions = 40  # of 20 slices: 800 intervals
    for _ in range(repetitions):
        scores = generator.normal(size=1600)
        for simultaneous in missed:
            slices = summarize_slices(scores, membership, groups, fprs=(), simultaneous=simultaneous)
            missed[simultaneous] += any(not s["auc_low"] <= 0.5 <= s["auc_high"] for s in slices.values())
    assert missed[False] / repetitions > 0.4
    assert missed[True] / repetitions <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repetitions)


BAD = {
    "groups": ({"groups": [1, 2]}, r"groups have shape \(2,\) for 8 examples"),
    "NaN groups": ({"groups": [np.nan] * 8}, "holds NaN"),
    "ragged groups": ({"groups": [[1], [1, 2]]}, "groups is ragged"),
    "fpr": ({"fprs": [1.0]}, "fprs holds 1.0"),
    "confidence": ({"confidence": 0.0}, "confidence is 0.0"),
    "min_examples": ({"min_examples": 0}, "min_examples is 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused_even_where_every_slice_is_too_small(case):
    arguments, message = BAD[case]
    with pytest.raises(InputError, match=message):
        summarize_slices(np.arange(8.0), np.arange(8) < 4, **({"groups": np.zeros(8, int)} | arguments))


def test_bad_scores_are_refused():
    with pytest.raises(InputError, match="1 NaN or infinite"):
        summarize_slices([0.1, np.nan], [True, False], [0, 0])
