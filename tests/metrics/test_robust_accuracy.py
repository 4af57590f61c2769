"""`robust_accuracy`: counts of correct predictions under attack, with exact intervals and never a NaN."""

from __future__ import annotations

import json
import re

import evaluate
import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.metrics import load_metric
from hf_privacy.statistics import clopper_pearson

LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
ATTACKED = [0, 1, 2, 0, 2, 0, 1, 1, 0, 1]  # rows 0-3 and 7 are right
CLEAN = [0, 1, 2, 0, 1, 2, 0, 0, 1, 1]  # rows 0-6 are right, row 7 is not


@pytest.fixture
def compute(metrics):
    return metrics["robust_accuracy"].compute


def test_without_clean_predictions_it_is_the_accuracy_with_its_exact_interval(compute):
    low, high = clopper_pearson(5, 10)
    assert compute(predictions=ATTACKED, references=LABELS) == {
        "robust_accuracy": 0.5,
        "robust_accuracy_low": low,
        "robust_accuracy_high": high,
        "n_examples": 10,
        "confidence": 0.95,
    }


def test_an_example_misclassified_clean_is_never_robust(compute):
    result = compute(predictions=ATTACKED, references=LABELS, clean_predictions=CLEAN)
    assert result["robust_accuracy"] == 0.4  # row 7 is right under the attack alone
    assert result["clean_accuracy"] == 0.7


def test_success_rate_is_over_the_examples_the_attack_could_turn(compute):
    result = compute(predictions=ATTACKED, references=LABELS, clean_predictions=CLEAN, confidence=0.9)
    assert result["attack_success_rate"] == 3 / 7
    ends = (result["attack_success_rate_low"], result["attack_success_rate_high"])
    assert ends == clopper_pearson(3, 7, confidence=0.9)
    ends = (result["clean_accuracy_low"], result["clean_accuracy_high"])
    assert ends == clopper_pearson(7, 10, confidence=0.9)


def test_a_model_that_is_always_wrong_has_no_success_rate_and_no_nan(compute):
    result = compute(predictions=[1, 1], references=[0, 0], clean_predictions=[1, 1])
    assert "attack_success_rate" not in result
    assert (result["robust_accuracy"], result["clean_accuracy"]) == (0.0, 0.0)
    json.dumps(result, allow_nan=False)


def test_trap_16_evaluate_save_takes_the_result(compute, tmp_path):
    result = compute(predictions=np.array(ATTACKED), references=np.array(LABELS), clean_predictions=np.array(CLEAN))
    assert {type(value) for value in result.values()} == {float, int}
    evaluate.save(tmp_path / "result.json", **result)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"predictions": [0.5, 1]}, "predictions holds values that are no classes"),
        ({"predictions": [np.nan, 1]}, "predictions holds 1 NaN"),
        ({"references": [-1, 1]}, "references holds values that are no classes"),
        ({"clean_predictions": [0]}, "clean_predictions have 1 rows and references 2"),
        ({"clean_predictions": [[0, 1], [1, 0]]}, "clean_predictions has shape (2, 2)"),
        ({"clean_predictions": ["cat", "dog"]}, "clean_predictions has dtype <U3"),
        ({"confidence": 95}, "confidence is 95"),
    ],
    ids=str,
)
def test_bad_input_is_refused_in_a_sentence_and_the_module_lives_on(keywords, message):
    module = load_metric("robust_accuracy")
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        module.compute(**{"predictions": [0, 1], "references": [0, 1], **keywords})
    assert "\n" not in str(refused.value)
    assert module.compute(predictions=[0, 1], references=[0, 0])["robust_accuracy"] == 0.5
