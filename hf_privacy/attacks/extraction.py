"""Extraction: whether a model gives back the rest of a text, by greedy decoding or within so many samples."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_number, check_numbers
from hf_privacy.arrays import boolean_vector, check_offsets, real_array, whole_array
from hf_privacy.errors import InputError

QUERIES = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
CHANCES = (0.1, 0.5, 0.9)
_ROUNDING = 1e-12  # relative, of n: 1 − (1 − ½)¹ ≥ ½ must hold
_LOSS = 1e-6  # a log-probability may come out a rounding error above zero; anything higher has the wrong sign


def extraction(log_prob: ArrayLike, offsets: ArrayLike, *, n: float, p: float) -> NDArray[np.bool_]:
    """Whether each row is (n, p)-discoverably extractable: n samples give it at least once with probability p.

    With p_z the product of the probabilities of the row's tokens, that is 1 − (1 − p_z)ⁿ ≥ p. All is computed from
    log p_z, which a row of ten thousand tokens leaves finite where p_z itself is 0 in float64.

    Parameters
    ----------
    log_prob : array-like of float, shape [T]
        Log-probability of each token to be extracted, given all before it, **under the sampling scheme** (see
        `hf_privacy.signals.sampling_log_prob`); at most 0, −∞ for a token that the scheme never draws.
    offsets : array-like of int, shape [N+1]
        Row i holds the tokens from ``offsets[i]`` up to ``offsets[i + 1]``.
    n : float
        Samples, at least 1.
    p : float
        In (0, 1).

    Returns
    -------
    bool[N]

    Raises
    ------
    InputError
        If a row is empty, a value is NaN or above 0, the offsets do not fit, or n or p is out of range.

    References
    ----------
    Hayes et al., "Measuring memorization in language models via probabilistic extraction" (arXiv 2410.19482).

    Examples
    --------
    >>> log_prob = np.log([0.5, 0.5, 0.1, 0.1])
    >>> extraction(log_prob, [0, 2, 4], n=10, p=0.9), extraction(log_prob, [0, 2, 4], n=1000, p=0.9)
    (array([ True, False]), array([ True,  True]))
    """
    n = check_number("n", n, 1.0)
    return np.asarray(log_queries_needed(log_prob, offsets, p=p) <= np.log(n) + _ROUNDING, dtype=np.bool_)


def log_queries_needed(log_prob: ArrayLike, offsets: ArrayLike, *, p: float) -> NDArray[np.float64]:
    """Natural logarithm of the number of samples that give a row at least once with probability p.

    n = log(1 − p)/log(1 − p_z), whose logarithm stays finite where n leaves float64.

    Parameters
    ----------
    log_prob, offsets, p
        As in `extraction`.

    Returns
    -------
    float64[N]
        −∞ for a row that always comes, ∞ for one that never does; below 0 where one sample is more than enough.

    Raises
    ------
    InputError
        As `extraction`.

    Examples
    --------
    >>> log_queries_needed(np.log([0.25, 0.5]), [0, 1, 2], p=0.5).round(3)
    array([0.879, 0.   ])
    >>> log_queries_needed(np.full(10_000, -3.0), [0, 10_000], p=0.5).round(1)
    array([29999.6])
    """
    p = check_number("p", p, 0.0, 1.0, low_open=True, high_open=True)
    numbers = _log_probabilities(log_prob)
    log_p = np.add.reduceat(numbers, check_offsets(offsets, len(numbers), "log_prob")[:-1])
    with np.errstate(divide="ignore"):  # of a row that always comes, or never
        # log(1 − p_z), on the side of log 2 on which it keeps its digits.
        log_miss = np.where(log_p > -np.log(2), np.log(-np.expm1(log_p)), np.log1p(-np.exp(log_p)))
        # Below e⁻³⁶, −log(1 − p_z) is p_z to the last digit of float64.
        log_rate = np.where(log_p < -36.0, log_p, np.log(-log_miss))
    return np.asarray(np.log(-np.log1p(-p)) - log_rate, dtype=np.float64)


def extraction_curve(
    log_prob: ArrayLike, offsets: ArrayLike, *, n: Sequence[float] = QUERIES, p: Sequence[float] = CHANCES
) -> NDArray[np.float64]:
    """Share of rows that are (n, p)-discoverably extractable, for several n and p.

    Parameters
    ----------
    log_prob, offsets
        As in `extraction`.
    n : sequence of float
        By default 1, 10, …, 10⁶.
    p : sequence of float
        By default 0.1, 0.5 and 0.9.

    Returns
    -------
    float64[len(p), len(n)]

    Raises
    ------
    InputError
        As `extraction`.

    Examples
    --------
    >>> extraction_curve(np.log([0.5, 0.01]), [0, 1, 2], n=[1, 10, 1000], p=[0.5, 0.9])
    array([[0.5, 0.5, 1. ],
           [0. , 0.5, 1. ]])
    """
    limits = np.log(check_numbers("n", n, 1.0)) + _ROUNDING
    chances = check_numbers("p", p, 0.0, 1.0, low_open=True, high_open=True)
    needed = [log_queries_needed(log_prob, offsets, p=chance) for chance in chances]
    return np.array([[(row <= limit).mean() for limit in limits] for row in needed], dtype=np.float64)


def greedy_extraction(greedy: ArrayLike, offsets: ArrayLike) -> NDArray[np.bool_]:
    """Whether greedy decoding gives each row back: whether every token of it is the likeliest, given all before it.

    As long as decoding follows the row, what it is given is what the model is asked about here, so that this equals
    decoding itself and nothing need be generated.

    Parameters
    ----------
    greedy : array-like of bool, shape [T]
        Whether each token is the likeliest (`TokenSignals.greedy`).
    offsets : array-like of int, shape [N+1]
        As in `extraction`.

    Returns
    -------
    bool[N]

    Raises
    ------
    InputError
        If a row is empty, the offsets do not fit, or the values are no booleans.

    References
    ----------
    Carlini et al., "Quantifying memorization across neural language models", ICLR 2023 (arXiv 2202.07646): a prefix of
    50 tokens, a suffix of 50.

    Examples
    --------
    >>> greedy_extraction([True, True, True, False], [0, 2, 4])
    array([ True, False])
    """
    hits = boolean_vector("greedy", greedy)
    rows: NDArray[np.bool_] = np.logical_and.reduceat(hits, check_offsets(offsets, len(hits), "greedy")[:-1])
    return rows


def repeats_of_rows(tokens: ArrayLike, offsets: ArrayLike) -> NDArray[np.int64]:
    """How often each row occurs among the rows, itself included: the k of k-eidetic memorization, by exact repeats.

    Parameters
    ----------
    tokens : array-like of int, shape [T]
        Token ids of the rows.
    offsets : array-like of int, shape [N+1]

    Returns
    -------
    int64[N]
        At least 1.

    Raises
    ------
    InputError
        If a row is empty or the offsets do not fit.

    References
    ----------
    Carlini et al., "Extracting training data from large language models", USENIX Security 2021 (arXiv 2012.07805).

    Examples
    --------
    >>> repeats_of_rows([5, 6, 5, 6, 7], [0, 2, 4, 5])
    array([2, 2, 1])
    """
    ids = whole_array("tokens", tokens)
    if ids.ndim != 1:
        raise InputError(f"tokens has shape {ids.shape}: pass one flat array of token ids")
    starts = check_offsets(offsets, len(ids), "tokens")
    rows = [ids[start:end].tobytes() for start, end in itertools.pairwise(starts)]
    counts: dict[bytes, int] = {}
    for row in rows:
        counts[row] = counts.get(row, 0) + 1
    return np.array([counts[row] for row in rows], dtype=np.int64)


def _log_probabilities(values: ArrayLike) -> NDArray[np.float64]:
    """As float64; −∞, for what cannot come, is taken, other than by `hf_privacy.arrays.finite_vector`."""
    array = real_array("log_prob", values)
    if array.ndim != 1:
        raise InputError(f"log_prob has shape {array.shape}: pass one flat array, one value per token")
    numbers = array.astype(np.float64)
    n_missing = int(np.isnan(numbers).sum())
    if n_missing:
        raise InputError(f"log_prob holds {n_missing:,} NaN of {numbers.size:,}: pass log-probabilities")
    if numbers.size and numbers.max() > _LOSS:
        raise InputError(
            f"log_prob goes up to {numbers.max():.4g}: a log-probability is at most 0, this may be a loss"
        )
    return np.minimum(numbers, 0.0, out=numbers)
