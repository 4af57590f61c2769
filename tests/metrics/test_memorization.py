"""`memorization`: figures of the scores that the references give, by bin, in plain numbers and never a NaN."""

from __future__ import annotations

import json

import evaluate
import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.memorization import feldman_zhang, memorization_bin, memorization_standard_error, reliability
from hf_privacy.metrics import load_metric


@pytest.fixture
def planted():
    """100 mislabelled examples, learned by heart, 100 with a duplicate, 300 others; target and 16 references."""
    generator = np.random.default_rng(0)
    half = generator.random((8, 500)) < 0.5
    half[0], half[1] = True, False
    membership = np.concatenate([half, ~half, generator.random((1, 500)) < 0.5])
    place = np.arange(500)
    chance_out = np.where(place < 100, 0.0, np.where(place < 200, 1.0, generator.uniform(0.85, 1, 500)))
    correct = (membership | (generator.random(membership.shape) < chance_out)).astype(float)
    return {
        "predictions": correct[-1],
        "references": membership[-1].astype(int),
        "reference_correct": correct[:-1],
        "reference_membership": membership[:-1].astype(int),
    }


def test_figures_are_those_of_the_scores(metrics, planted):
    result = metrics["memorization"].compute(**planted, wanted=0.8, seed=3)
    tables = (planted["reference_correct"], planted["reference_membership"] == 1)
    scores = feldman_zhang(*tables)
    assert result["mean_memorization"] == scores.mean()
    assert result["share_above_0.25"] == np.mean(scores >= 0.25)
    assert result["share_above_0.5"] == np.mean(scores >= 0.5)
    assert result["mean_standard_error"] == memorization_standard_error(*tables).mean()
    trust = reliability(*tables, wanted=0.8, seed=3)
    assert (result["reliability"], result["n_references_needed"]) == (
        trust["reliability"],
        trust["n_references_needed"],
    )
    assert (result["n_examples"], result["n_references"]) == (500, 16)


def test_planted_wrong_labels_fill_the_top_bin_and_duplicates_the_lowest(metrics, planted):
    bins = metrics["memorization"].compute(**planted)["bins"]
    assert bins[-1]["n_examples"] == 100
    assert bins[0]["n_examples"] >= 100
    # Learned by heart: the target is right on its members there and wrong on all others.
    assert (bins[-1]["member_correct"], bins[-1]["nonmember_correct"]) == (1.0, 0.0)
    assert bins[0]["nonmember_correct"] > 0.95


def test_each_bin_holds_the_targets_correctness_on_either_side(metrics, planted):
    edges = [0.2, 0.6]
    result = metrics["memorization"].compute(**planted, edges=edges)
    place = memorization_bin(
        feldman_zhang(planted["reference_correct"], planted["reference_membership"] == 1), edges=edges
    )
    for number, part in enumerate(result["bins"]):
        members = (place == number) & (planted["references"] == 1)
        assert part["n_members"] == members.sum()
        assert part["member_correct"] == planted["predictions"][members].mean()
        assert part["n_members"] + part["n_nonmembers"] == part["n_examples"]
    assert [part["memorization_from"] for part in result["bins"]] == [-1.0, 0.2, 0.6]
    assert sum(part["n_members"] for part in result["bins"]) == result["n_members"]


def test_what_cannot_be_had_is_left_out_and_nothing_is_nan(metrics, planted):
    few = {**planted, **{name: planted[name][[0, 8]] for name in ("reference_correct", "reference_membership")}}
    result = metrics["memorization"].compute(**few)
    assert not {"mean_standard_error", "reliability", "n_references_needed"} & set(result)
    json.dumps(result, allow_nan=False)
    flat = metrics["memorization"].compute(**{**planted, "reference_correct": np.ones((16, 500))})
    assert (flat["mean_memorization"], flat["mean_standard_error"]) == (0.0, 0.0)
    assert "reliability" not in flat
    json.dumps(flat, allow_nan=False)
    empty = metrics["memorization"].compute(**planted, edges=[-0.9])["bins"][0]
    assert empty == {
        "memorization_from": -1.0,
        "memorization_to": -0.9,
        "n_examples": 0,
        "n_members": 0,
        "n_nonmembers": 0,
    }


def test_trap_16_evaluate_save_takes_the_result(metrics, planted, tmp_path):
    result = metrics["memorization"].compute(**{**planted, "predictions": planted["predictions"].astype(np.float32)})
    assert {type(value) for part in (result, *result["bins"]) for value in part.values()} <= {float, int, list}
    evaluate.save(tmp_path / "result.json", **result)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {"predictions": p["predictions"] + 1}, "predictions reach from 1 to 2"),
        (lambda p: {"predictions": np.where(p["predictions"] > 0, np.nan, 0)}, "predictions reach from nan"),
        (lambda p: {"references": p["references"] + 1}, "references holds 2: pass 1 for a member"),
        (lambda p: {"reference_membership": p["reference_membership"] * 2}, "reference_membership holds 2"),
        (lambda p: {"reference_membership": p["reference_membership"][1:]}, "16 rows and reference_membership 15"),
        (lambda p: {"reference_membership": p["reference_membership"] * 0}, "500 of 500 examples are OUT for all 16"),
        (lambda p: {"reference_correct": p["reference_correct"] * 3}, "correct reaches from 3 to 3"),
        (lambda p: {"reference_correct": [["right"] * 500] * 16}, "correct has dtype <U5"),
        (lambda p: {"predictions": p["predictions"][:9], "references": p["references"][:9]}, "have 9 examples and"),
        (lambda p: {"edges": [0.5, 0.2]}, "edges are"),
        (lambda p: {"wanted": 2.0}, "wanted is 2.0"),
    ],
)
def test_bad_input_is_refused_in_a_sentence_and_the_module_lives_on(planted, change, message):
    module = load_metric("memorization")
    with pytest.raises(InputError, match=message) as refused:
        module.compute(**{**planted, **change(planted)})
    assert "\n" not in str(refused.value)
    assert module.compute(**planted)["n_examples"] == 500
