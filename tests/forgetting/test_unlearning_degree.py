"""Unlearning degree: accuracy lost on the perturbed forget set, and the most there is to lose."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.forgetting import unlearning_degree
from hf_privacy.forgetting.paired import difference_interval


def test_degree_and_ceiling_by_hand():
    result = unlearning_degree([1, 1, 1, 1, 0], [1, 0, 0, 1, 0], [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    assert result["unlearning_degree"] == pytest.approx(0.8 - 0.4)
    assert (result["accuracy_before"], result["accuracy_after"]) == (0.8, 0.4)
    assert result["ceiling"] == pytest.approx(0.8 - 0.1)
    assert result["share_of_ceiling"] == pytest.approx(0.4 / 0.7)
    assert (result["n_examples"], result["n_retrained"]) == (5, 2)


def test_interval_is_over_the_paired_examples():
    generator = np.random.default_rng(0)
    before, after = generator.random((2, 200)) < [[0.9], [0.4]]
    result = unlearning_degree(before, after, after)
    assert (result["low"], result["high"]) == difference_interval(before, after)
    assert result["low"] < result["unlearning_degree"] < result["high"]
    assert (result["ceiling_low"], result["ceiling_high"]) == (result["low"], result["high"])


def test_a_perfect_unlearner_reaches_the_ceiling():
    generator = np.random.default_rng(0)
    before = generator.random(400) < 0.95
    retrained = generator.random((6, 400)) < 0.6
    result = unlearning_degree(before, retrained[0], retrained[1:])
    assert result["share_of_ceiling"] == pytest.approx(1.0, abs=0.2)
    assert result["ceiling_low"] < result["ceiling"] < result["ceiling_high"]


def test_without_retrained_models_there_is_no_ceiling():
    assert "ceiling" not in unlearning_degree([1, 1], [0, 1])


def test_a_ceiling_of_nothing_gives_no_share_and_no_nan():
    result = unlearning_degree([1, 0], [1, 0], [1, 0])
    assert (result["ceiling"], result["share_of_ceiling"]) == (0.0, None)
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("retrained", "message"),
    [
        ([[1, 0, 1]], "retrained has 3 columns for 2 examples"),
        ([[1, 0.5]], "retrained holds 0.5"),
        ([], "retrained has shape"),
        ([[1, 0], [1]], "retrained is ragged"),
    ],
)
def test_bad_retrained_models_are_refused(retrained, message):
    with pytest.raises(InputError, match=message):
        unlearning_degree([1, 0], [1, 0], retrained)
