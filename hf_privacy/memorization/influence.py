"""Influence of a training example on a test example, from models trained with and without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_privacy.arguments import check_number, check_whole
from hf_privacy.errors import InputError
from hf_privacy.memorization.tables import (
    Table,
    check_tables,
    count_examples,
    membership_row,
    refuse_one_sided,
    unit_row,
)

# Values of one block of training examples × all test examples: 32 MB.
_BLOCK_VALUES = 4_000_000
# Dense matrices above this, 400 MB, are refused.
_DENSE_VALUES = 50_000_000


class InfluencePairs(NamedTuple):
    """Pairs of a training and a test example, in order of the training example, then of the test example."""

    train_index: NDArray[np.int64]
    test_index: NDArray[np.int64]
    value: NDArray[np.float64]


def influence(
    test_correct: Table,
    reference_membership: Table,
    *,
    threshold: float = 0.15,
    max_pairs: int = 10_000_000,
) -> InfluencePairs:
    """The pairs whose influence reaches a threshold.

    infl(i → j) is the mean correctness on test example j of the models trained with i, less that of the models
    trained without i. All pairs are computed, a block of training examples at a time, as a product of the two tables;
    only those at or above the threshold are kept.

    Parameters
    ----------
    test_correct : array-like of float, shape [K, M], or a sequence of K rows
        1 where reference model k classifies test example j correctly and 0 where not, or the probability of its true
        class. Test examples are in no reference model's training set.
    reference_membership : array-like of bool, shape [K, N], or a sequence of K rows
        True where reference model k was trained on training example i. To ask about some training examples only, such
        as those of a memorization of at least 0.25 in the paper, pass their columns.
    threshold : float, default 0.15
        In (0, 1]; the paper's. **Meant for thousands of models**: see the notes.
    max_pairs : int, default 10,000,000
        More pairs than this are refused, since they would be chance, not influence.

    Returns
    -------
    InfluencePairs
        ``train_index``, ``test_index`` (columns of the two tables) and ``value``, one entry a pair.

    Raises
    ------
    InputError
        If shapes differ, a value is NaN or lies outside [0, 1], membership is not boolean, a training example is IN
        or OUT for all reference models, the threshold lies outside (0, 1], or there are more than ``max_pairs``.

    Notes
    -----
    With K models in random halves a value has a standard error of up to 1/√K (√(p(1 − p)(1/n_in + 1/n_out))): 0.125
    for 64, of which N · M pairs have a large number above 0.15 by chance alone. Raise the threshold to five standard
    errors, or bring more models.

    References
    ----------
    Feldman and Zhang, "What neural networks memorize and why", NeurIPS 2020 (arXiv 2008.03703), equation 2.

    Examples
    --------
    >>> membership = [[True, False], [True, True], [False, True], [False, False]]
    >>> test_correct = [[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 1]]
    >>> influence(test_correct, membership, threshold=0.5)
    InfluencePairs(train_index=array([0]), test_index=array([0]), value=array([1.]))
    """
    threshold = check_number("threshold", threshold, 0.0, 1.0, low_open=True, such_as="0.15")
    max_pairs = check_whole("max_pairs", max_pairs, at_least=1)
    trains, tests, values = [], [], []
    n_pairs = 0
    for start, block in _blocks(test_correct, reference_membership):
        train, test = np.nonzero(block >= threshold)
        n_pairs += len(train)
        if n_pairs > max_pairs:
            raise InputError(
                f"threshold is {threshold:g}: more than {max_pairs:,} pairs reach it, as chance brings with "
                f"{len(test_correct)} reference models; raise it, or ask about fewer training examples"
            )
        trains.append(train + start)
        tests.append(test)
        values.append(block[train, test])
    return InfluencePairs(np.concatenate(trains), np.concatenate(tests), np.concatenate(values))


def influence_matrix(test_correct: Table, reference_membership: Table) -> NDArray[np.float64]:
    """Influence of every training example on every test example, dense.

    Parameters
    ----------
    test_correct, reference_membership
        As in `influence`.

    Returns
    -------
    float64[N, M]
        In [−1, 1].

    Raises
    ------
    InputError
        As `influence`; also if N · M exceeds 50 million.

    Examples
    --------
    >>> influence_matrix([[1, 1], [0, 1]], [[True], [False]])
    array([[1., 0.]])
    """
    test_correct, reference_membership = check_tables(test_correct, reference_membership, name="test_correct")
    n_train, n_test = count_examples(reference_membership[0]), count_examples(test_correct[0])
    if n_train * n_test > _DENSE_VALUES:
        raise InputError(
            f"{n_train:,} training × {n_test:,} test examples are more than {_DENSE_VALUES:,} values: use "
            "influence(), or pass fewer columns"
        )
    return np.concatenate([block for _, block in _blocks(test_correct, reference_membership)])


def _blocks(test_correct: Table, reference_membership: Table) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Influence of stretches of training examples, with the first one's index."""
    test_correct, reference_membership = check_tables(test_correct, reference_membership, name="test_correct")
    n_train, n_test = count_examples(reference_membership[0]), count_examples(test_correct[0])
    n_references = len(test_correct)
    correct = np.stack([unit_row("test_correct", row, n_test) for row in test_correct])
    membership = np.stack([membership_row(row, n_train) for row in reference_membership])
    n_in = membership.sum(axis=0)
    refuse_one_sided(n_in, n_references)
    total = correct.sum(axis=0)
    step = max(1, _BLOCK_VALUES // n_test)
    for start in range(0, n_train, step):
        # In float64 counts of 0/1 are exact, so a pair just at the threshold is not lost to rounding.
        in_sum = membership[:, start : start + step].T.astype(np.float64) @ correct
        inside = n_in[start : start + step, None]
        yield start, in_sum / inside - (total - in_sum) / (n_references - inside)
