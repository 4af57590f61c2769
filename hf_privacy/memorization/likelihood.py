"""Feldman and Zhang's memorization of the rows of a language model, by how likely models hold them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_privacy.arguments import check_choice
from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError
from hf_privacy.memorization.tables import (
    Table,
    check_tables,
    count_examples,
    membership_row,
    refuse_one_sided,
    side_sums,
)

MEASURES = ("probability", "log_likelihood")


class RowMemorization(NamedTuple):
    """The score of each row and how far chance in the reference models can have moved it, float64[N] each."""

    scores: NDArray[np.float64]
    standard_error: NDArray[np.float64]


def likelihood_memorization(
    log_likelihood: Table, reference_membership: Table, *, measure: str = "probability"
) -> RowMemorization:
    """How much likelier a row is for models trained with it than for models trained without it.

    E[f(x) | x IN] − E[f(x) | x OUT] over the reference models, with f the geometric mean of the probabilities of a
    row's scored tokens, exp of the mean log-likelihood: `feldman_zhang` with what a language model does in place of
    correctness. The standard error is that of `memorization_standard_error`.

    Parameters
    ----------
    log_likelihood : array-like of float, shape [K, N], or a sequence of K rows
        Mean log-likelihood a token of row n under reference model k, in nats, at most 0: minus the signal "loss".
    reference_membership : array-like of bool, shape [K, N], or a sequence of K rows
        True where reference model k was trained on row n.
    measure : {"probability", "log_likelihood"}, default "probability"
        What f is: in [0, 1], or the mean log-likelihood itself. The second moves most for the unlikeliest rows.

    Returns
    -------
    RowMemorization
        ``scores``, in [−1, 1] or in nats a token, and ``standard_error``, infinite where a row has a single model on
        a side.

    Raises
    ------
    InputError
        If shapes differ, a log-likelihood is not finite or above 0, membership is not boolean, a row is IN or OUT for
        all reference models, or the measure is unknown.

    References
    ----------
    Feldman and Zhang, "What neural networks memorize and why", NeurIPS 2020 (arXiv 2008.03703), equation 1. Zhang,
    Ippolito, Lee, Jagielski, Tramèr and Carlini, "Counterfactual memorization in neural language models", NeurIPS
    2023 (arXiv 2112.12938), take the share of tokens that greedy decoding gives as f.

    Examples
    --------
    >>> log_likelihood = np.log([[0.5, 0.2], [0.5, 0.4], [0.1, 0.2], [0.1, 0.4]])
    >>> membership = [[True, False], [True, True], [False, False], [False, True]]
    >>> found = likelihood_memorization(log_likelihood, membership)
    >>> found.scores.round(3), found.standard_error.round(3)
    (array([0.4, 0.2]), array([0., 0.]))
    """
    check_choice("measure", measure, MEASURES)
    n_in, (sums, squares) = side_sums(
        log_likelihood, reference_membership, powers=2, rows=partial(likelihood_rows, measure=measure)
    )
    n_references = len(log_likelihood)
    refuse_one_sided(n_in, n_references)
    variance = np.zeros(len(n_in))
    counts = (n_in, n_references - n_in)
    for count, total, square in zip(counts, sums, squares, strict=True):
        spread = np.maximum(square - total * total / count, 0.0)
        variance += np.divide(spread, count * (count - 1), out=np.full(len(n_in), np.inf), where=count > 1)
    return RowMemorization(sums[0] / counts[0] - sums[1] / counts[1], np.sqrt(variance))


def likelihood_rows(
    log_likelihood: Table, reference_membership: Table, *, measure: str
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Row by row, what models make of the examples, by the measure, and membership.

    Raises
    ------
    InputError
        As `likelihood_memorization`.

    Examples
    --------
    >>> next(likelihood_rows([[0.0, -1.0]], [[True, False]], measure="probability"))[0].round(3)
    array([1.   , 0.368])
    """
    rows, memberships = check_tables(log_likelihood, reference_membership, name="log_likelihood")
    n_examples = count_examples(memberships[0])
    for values, membership in zip(rows, memberships, strict=True):
        row = real_array("log_likelihood", values).astype(np.float64, copy=False)
        if row.shape != (n_examples,):
            raise InputError(f"log_likelihood has a row of shape {row.shape}: pass {n_examples:,} values a row")
        # A NaN fails both comparisons, so it is refused here too.
        if n_examples == 0 or not (row.max() <= 0.0 and row.min() > -np.inf):
            reach = "is empty" if n_examples == 0 else f"reaches from {row.min():.4g} to {row.max():.4g}"
            raise InputError(
                f"log_likelihood {reach}: pass the mean of ln p over a row's tokens, finite and at most 0"
            )
        yield (np.exp(row) if measure == "probability" else row), membership_row(membership, n_examples)
