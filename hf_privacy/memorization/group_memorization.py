"""Counterfactual memorization of whole groups of rows, such as all that one author wrote."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student_t

from hf_privacy.arguments import check_choice
from hf_privacy.errors import InputError
from hf_privacy.memorization.likelihood import MEASURES, likelihood_rows
from hf_privacy.memorization.tables import Table, refuse_one_sided
from hf_privacy.statistics.checks import check_confidence, check_groups


class GroupMemorization(NamedTuple):
    """One entry per group, in the order of ``groups``."""

    groups: NDArray
    scores: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    n_rows: NDArray[np.int64]


def group_memorization(
    log_likelihood: Table,
    reference_membership: Table,
    groups: ArrayLike,
    *,
    measure: str = "probability",
    confidence: float = 0.95,
) -> GroupMemorization:
    """How much likelier a group's rows are for models trained with the group than for models trained without it.

    E[f̄ | group IN] − E[f̄ | group OUT] with f̄ the mean over the group's rows of what `likelihood_memorization` takes: a
    model counts once for a group however many rows that has, since its rows rise and fall together.

    Parameters
    ----------
    log_likelihood, reference_membership, measure
        As in `likelihood_memorization`. A group is in or out of a reference model as a whole.
    groups : array-like of int or str, shape [N]
        Whose each row is.
    confidence : float, default 0.95
        Of each group's interval: Welch's t over the models, which are drawn independently.

    Returns
    -------
    GroupMemorization
        ``groups`` (each once, sorted), ``scores``, ``low`` and ``high`` (in [−1, 1] by probability),
        ``standard_error`` and ``n_rows``. With a single model on a side the error is infinite and the interval all
        there is; where all models of each side agree it has no width, which says "all of these few".

    Raises
    ------
    InputError
        As `likelihood_memorization`; also if groups do not match or one is IN a reference model with some of its rows
        only.

    References
    ----------
    Zhang, Ippolito, Lee, Jagielski, Tramèr and Carlini, "Counterfactual memorization in neural language models",
    NeurIPS 2023 (arXiv 2112.12938), of single rows. The unit of a group is ours.

    Examples
    --------
    >>> log_likelihood = np.log([[0.5, 0.7, 0.2], [0.5, 0.7, 0.4], [0.1, 0.3, 0.2], [0.1, 0.3, 0.4]])
    >>> membership = [[True, True, False], [True, True, True], [False, False, False], [False, False, True]]
    >>> found = group_memorization(log_likelihood, membership, ["anna", "anna", "ben"])
    >>> found.groups.tolist(), found.scores.round(3), found.n_rows
    (['anna', 'ben'], array([0.4, 0.2]), array([2, 1]))
    """
    check_choice("measure", measure, MEASURES)
    level = check_confidence(confidence)
    values: list[NDArray[np.float64]] = []
    inside: list[NDArray[np.bool_]] = []
    names, group, counts = np.array([]), np.array([], dtype=np.int64), np.array([], dtype=np.int64)
    for row, membership in likelihood_rows(log_likelihood, reference_membership, measure=measure):
        if not values:
            labels = check_groups(groups, len(row))
            names, group, counts = np.unique(labels, return_inverse=True, return_counts=True)
        n_in = np.bincount(group, weights=membership)
        split = int(np.sum((n_in > 0) & (n_in < counts)))
        if split:
            raise InputError(
                f"{split:,} of {len(counts):,} groups are IN reference model {len(values)} with some of their rows "
                "only: draw reference models by group, or pass no groups"
            )
        values.append(np.bincount(group, weights=row) / counts)
        inside.append(n_in > 0)
    table, side = np.array(values), np.array(inside)
    refuse_one_sided(side.sum(axis=0), len(table))
    means: list[NDArray[np.float64]] = []
    variances: list[NDArray[np.float64]] = []
    n: list[NDArray[np.int64]] = []
    for chosen in (side, ~side):
        count = chosen.sum(axis=0)
        mean = (table * chosen).sum(axis=0) / count
        spread = ((table - mean) ** 2 * chosen).sum(axis=0)
        means.append(mean)
        n.append(count)
        variances.append(np.divide(spread, count * (count - 1), out=np.full(len(count), np.inf), where=count > 1))
    scores, error = means[0] - means[1], np.sqrt(variances[0] + variances[1])
    reach = _welch(variances, n, error, level)
    bound = 1.0 if measure == "probability" else np.inf
    low, high = (np.clip(scores + sign * reach, -bound, bound) for sign in (-1, 1))
    return GroupMemorization(names, scores, low, high, error, counts)


def _welch(
    variances: list[NDArray[np.float64]],
    n: list[NDArray[np.int64]],
    error: NDArray[np.float64],
    level: float,
) -> NDArray[np.float64]:
    """Half the width of each interval, by Welch and Satterthwaite's degrees of freedom."""
    reach = np.where(np.isinf(error), np.inf, 0.0)
    known = np.isfinite(error) & (error > 0)
    parts = sum(variance[known] ** 2 / (count[known] - 1) for variance, count in zip(variances, n, strict=True))
    freedom = error[known] ** 4 / parts
    reach[known] = student_t.isf((1 - level) / 2, freedom) * error[known]
    return reach
