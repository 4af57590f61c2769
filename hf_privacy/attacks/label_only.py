"""Label-only attacks: membership from the predicted class alone."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice
from hf_privacy.arrays import finite, real_array
from hf_privacy.attacks.inputs import nonnegative_vector
from hf_privacy.attacks.reference_inputs import refuse_always_in, refuse_never_in
from hf_privacy.attacks.reference_rows import as_table, count_in, membership_rows
from hf_privacy.errors import InputError


def label_only_augmented(
    correct: ArrayLike,
    *,
    reference_correct: Any = None,
    reference_membership: Any = None,
    calibration: Literal["difference", "likelihood"] = "difference",
) -> NDArray[np.float64]:
    """How many augmented copies of the example the target classifies right.

    With one query, the example itself, this is the gap attack: right means member, and its balanced accuracy is ½ plus
    half the gap between training and test accuracy. Reference models take out how easy the example is. Scores come in
    few steps and tie; a classifier on the Q answers themselves is `shadow_classifier` with ``correct`` transposed.

    Parameters
    ----------
    correct : array-like of bool or 0/1, shape [N] or [Q, N]
        True where the target predicts the true class of query q (the example, or a copy of it) of example n.
    reference_correct : array-like of bool or 0/1, shape [K, N] or [K, Q, N], optional
        The same of each reference model on the same queries; read row by row.
    reference_membership : array-like of bool, shape [K, N], optional
        True where reference model k was trained on example n. Together with ``reference_correct``.
    calibration : {"difference", "likelihood"}, default "difference"
        With reference models:

        - ``difference``: share of right answers less its mean over the OUT reference models;
        - ``likelihood``: log-likelihood ratio of the number of right answers, binomial with the IN and with the OUT
          reference models' rate of right answers, each with half a right and half a wrong answer added so that no rate
          is 0 or 1. It takes the queries for independent and equally hard.

    Returns
    -------
    float64[N]
        Higher for likelier members: in [0, 1] without reference models, in [−1, 1] for ``difference``.

    Raises
    ------
    InputError
        If shapes disagree, a value is not 0 or 1, membership is not boolean, only one of the reference arguments is
        given, the calibration is unknown, or an example has no reference model on a side that it needs.

    References
    ----------
    Choquette-Choo et al., "Label-only membership inference attacks", ICML 2021 (arXiv 2007.14321), which trains a
    classifier on the answers; the gap attack: Yeom et al., CSF 2018 (arXiv 1709.01604). Both calibrations are ours,
    after Watson et al., ICLR 2022 (arXiv 2111.08440) and Carlini et al., IEEE S&P 2022 (arXiv 2112.03570).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> correct = [[True, True], [True, False]]
    >>> attacks.label_only_augmented(correct)
    array([1. , 0.5])
    >>> references = [[[1, 1], [1, 0]], [[0, 1], [0, 0]]]
    >>> membership = [[True, False], [False, True]]
    >>> attacks.label_only_augmented(correct, reference_correct=references, reference_membership=membership)
    array([1., 0.])
    """
    check_choice("calibration", calibration, ("difference", "likelihood"))
    answers = real_array("correct", correct)
    if answers.ndim not in (1, 2) or answers.size == 0:
        raise InputError(f"correct has shape {answers.shape}: pass [N] or [Q, N], at least one example")
    n_queries = 1 if answers.ndim == 1 else len(answers)
    n_right = _zero_one("correct", answers).reshape(n_queries, -1).sum(axis=0)
    if reference_correct is None and reference_membership is None:
        return n_right / n_queries
    if reference_correct is None or reference_membership is None:
        missing = "reference_correct" if reference_correct is None else "reference_membership"
        raise InputError(f"{missing} is missing: pass reference_correct and reference_membership together, or neither")

    table = as_table("reference_correct", reference_correct)
    if len(table.shape) != answers.ndim + 1 or table.shape[1:] != answers.shape or table.shape[0] == 0:
        raise InputError(
            f"reference_correct has shape {table.shape} and correct {answers.shape}: "
            "pass the same queries of the same examples for each reference model"
        )
    n_references = table.shape[0]
    membership = membership_rows("reference_membership", reference_membership, (n_references, answers.shape[-1]))
    n_in = count_in(membership)
    refuse_always_in(n_in, n_references)
    if calibration == "likelihood":
        refuse_never_in(n_in, n_references, "use calibration='difference', or leave them out")
    in_right, out_right = np.zeros(len(n_in)), np.zeros(len(n_in))
    for index, row in enumerate(table.rows):  # query by query of one model after the other
        is_in = membership[index // n_queries]
        right = _zero_one("reference_correct", row)
        in_right += right * is_in
        out_right += right * ~is_in
    n_in_answers, n_out_answers = n_in * n_queries, (n_references - n_in) * n_queries
    if calibration == "difference":
        return n_right / n_queries - out_right / n_out_answers
    in_rate, out_rate = (in_right + 0.5) / (n_in_answers + 1.0), (out_right + 0.5) / (n_out_answers + 1.0)
    n_wrong = n_queries - n_right
    return n_right * np.log(in_rate / out_rate) + n_wrong * np.log((1.0 - in_rate) / (1.0 - out_rate))


def label_only_distance(
    distance: ArrayLike, correct: ArrayLike, *, misclassified: Literal["zero", "negative"] = "zero"
) -> NDArray[np.float64]:
    """Distance from the example to the nearest input that the target classifies otherwise.

    Training pushes the decision boundary away from members. An example that is classified wrongly lies beyond the
    boundary already and counts as distance 0.

    Parameters
    ----------
    distance : array-like of float, shape [N]
        Norm of the smallest change of the input that changes the predicted class, ≥ 0, in the input's units: what a
        decision-based adversarial attack finds, an upper bound on the true distance. Where it finds none, pass the
        largest distance it searched, not infinity.
    correct : array-like of bool or 0/1, shape [N]
        True where the target predicts the true class.
    misclassified : {"zero", "negative"}, default "zero"
        Score of an example classified wrongly: 0, or the negative of its distance, which orders those as well.

    Returns
    -------
    float64[N]
        Higher for likelier members.

    Raises
    ------
    InputError
        If shapes disagree, a distance is NaN, infinite or negative, a value of correct is not 0 or 1, or misclassified
        is unknown.

    References
    ----------
    Choquette-Choo et al., ICML 2021 (arXiv 2007.14321); Li and Zhang, "Membership leakage in label-only exposures",
    CCS 2021 (arXiv 2007.15528). ``negative`` is ours.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.label_only_distance([2.0, 0.5], [True, False])
    array([2., 0.])
    """
    check_choice("misclassified", misclassified, ("zero", "negative"))
    distances = nonnegative_vector("distance", distance)
    answers = real_array("correct", correct)
    if answers.shape != distances.shape:
        raise InputError(f"correct has shape {answers.shape} and distance {distances.shape}: pass one value each")
    is_right = _zero_one("correct", answers) == 1.0
    return np.where(is_right, distances, -distances if misclassified == "negative" else 0.0)


def _zero_one(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    numbers = finite(name, values)
    if np.any((numbers != 0.0) & (numbers != 1.0)):
        raise InputError(f"{name} holds values that are neither 0 nor 1: pass True where the predicted class is right")
    return numbers
