"""The figures an unlearner is judged by, from the model itself and from stored arrays alike."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.data import ForgetSplit
from hf_privacy.errors import InputError
from hf_privacy.signals import compute_signals
from hf_privacy.statistics import clopper_pearson
from hf_privacy.unlearning import UnlearningEvaluation, evaluate_unlearning

SPLIT = ForgetSplit(range(25), range(25, 250), range(250, 400))
TEST = np.arange(400, 500)


def signals(correct, phi, label=None) -> dict[str, np.ndarray]:
    label = np.zeros(len(correct)) if label is None else np.asarray(label)
    return {"correct": np.asarray(correct, float), "phi": np.asarray(phi, float), "label": label}


def figure(evaluation, name):
    return next(figure for figure in evaluation.figures() if figure["name"] == name)


def test_accuracies_and_their_exact_intervals_by_hand():
    evaluation = UnlearningEvaluation(
        signals([1, 0, 0, 0], [1, 0, 0, 0]), signals([1, 1, 1, 0], [2, 2, 2, 2]), signals([1, 0], [0, 0])
    )
    assert [figure(evaluation, name)["value"] for name in ("UA", "RA", "TA")] == [0.75, 0.75, 0.5]
    low, high = clopper_pearson(3, 4)
    assert figure(evaluation, "UA") == {"name": "UA", "value": 0.75, "low": low, "high": high, "n_examples": 4}


def test_the_mia_compares_with_unseen_examples_of_the_forgotten_classes_alone():
    forget, retain = signals([1, 1], [1.0, 1.0], [3, 3]), signals([1, 1], [5.0, 5.0])
    # Unseen examples of class 3 have a low φ, those of class 0 one as high as members have.
    test = signals([0, 0, 1, 1], [0.0, 2.0, 6.0, 6.0], [3, 3, 0, 0])
    assert figure(UnlearningEvaluation(forget, retain, test), "MIA")["value"] == 1.0
    of_another_class = signals([0, 0], [0.0, 2.0], [0, 0])
    assert figure(UnlearningEvaluation(forget, retain, of_another_class), "MIA")["value"] == 1.0


def test_a_model_that_still_knows_the_forget_set_is_told_from_one_that_never_saw_it(digits, originals):
    never = ForgetSplit(range(250, 275), range(25, 250), range(275, 400))
    for original in originals:
        evaluation = evaluate_unlearning(original, digits, SPLIT, test=TEST)
        assert figure(evaluation, "UA")["value"] < 0.1
        efficacy = figure(evaluate_unlearning(original, digits, never, test=TEST), "MIA")["value"]
        assert efficacy > figure(evaluation, "MIA")["value"] + 0.2


def test_the_arrays_are_those_of_each_set_in_its_order(digits, trained):
    evaluation = evaluate_unlearning(trained, digits, SPLIT, test=TEST, batch_size=64)
    for rows, found in ((SPLIT.forget, evaluation.forget), (SPLIT.retain, evaluation.retain), (TEST, evaluation.test)):
        expected = compute_signals(trained, digits.subset(rows))
        np.testing.assert_allclose(found["loss"], expected["loss"][0], rtol=1e-5, atol=1e-9)
        np.testing.assert_array_equal(found["label"], digits.subset(rows).column("labels").numpy())


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ([300], "test shares 1 row with heldout"),
        ([0, 1], "test shares 2 rows with forget"),
        ([30], "test shares 1 row with retain"),
        ([], "test is empty"),
    ],
)
def test_rows_that_were_seen_judge_nothing(test, message, digits, trained):
    with pytest.raises(InputError, match=message):
        evaluate_unlearning(trained, digits, SPLIT, test=np.array(test, dtype=np.int64))
