"""Ragged arrays: the values of all rows in one flat array, and offsets that say where each row starts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_number
from hf_privacy.arrays import check_offsets, finite_vector
from hf_privacy.errors import InputError

# Most values of rows of one length that are gathered at a time: about a processor's second-level cache.
_BLOCK = 131_072
# What a share times a length may fall below a whole number by rounding: 0.29 · 100 is 28.999999999999996.
_ROUNDING = 1e-9


def ragged_rows(offsets: ArrayLike, **arrays: ArrayLike) -> tuple[NDArray[np.int64], list[NDArray[np.float64]]]:
    """Offsets as int64 [N + 1] and each flat array, by the name of its argument, as finite float64 [T].

    Raises
    ------
    InputError
        If the offsets are not one-dimensional whole numbers that start at 0, never fall and end at T, if rows hold no
        value (how many), or a flat array is NaN, infinite, not one-dimensional or of another length than the first.

    Examples
    --------
    >>> ragged_rows([0, 2, 3], log_prob=[-1, -2, -0.5])
    (array([0, 2, 3]), [array([-1. , -2. , -0.5])])
    """
    values = [finite_vector(name, array) for name, array in arrays.items()]
    first = next(iter(arrays))
    for name, array in zip(arrays, values, strict=True):
        if len(array) != len(values[0]):
            raise InputError(
                f"{name} has {len(array):,} values and {first} {len(values[0]):,}: pass one for each scored token"
            )
    return check_offsets(offsets, len(values[0]), first), values


def row_sums(values: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum over each row; a row's own values alone decide it, to the last bit.

    Examples
    --------
    >>> row_sums(np.array([1.0, 2.0, 5.0]), np.array([0, 2, 3]))
    array([3., 5.])
    """
    return np.add.reduceat(values, offsets[:-1])


def counted(share: float, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """⌊share · n⌋ of every row, and at least one.

    Examples
    --------
    >>> counted(0.2, np.array([3, 10])), counted(0.29, np.array([100]))
    (array([1, 2]), array([29]))
    """
    return np.maximum(np.floor(share * lengths + _ROUNDING).astype(np.int64), 1)


def by_length(offsets: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Numbers [R] of rows of one length n and the positions [R, n] of their values, until every row has been given.

    Rows of one length make a table, so what is done to it is done without a loop over rows; there are never more
    lengths than the root of twice the number of values.

    Examples
    --------
    >>> [(rows.tolist(), positions.tolist()) for rows, positions in by_length(np.array([0, 1, 3, 4]))]
    [([0, 2], [[0], [3]]), ([1], [[1, 2]])]
    """
    lengths = np.diff(offsets)
    order = np.argsort(lengths, kind="stable")
    found, first = np.unique(lengths[order], return_index=True)
    for length, alike in zip(found, np.split(order, first[1:]), strict=True):
        n_at_once = max(1, _BLOCK // int(length))
        for start in range(0, len(alike), n_at_once):
            rows = alike[start : start + n_at_once]
            yield rows, offsets[rows, np.newaxis] + np.arange(length)


def smallest(values: NDArray[np.float64], offsets: NDArray[np.int64], k: float) -> NDArray[np.bool_]:
    """Mark the max(1, ⌊k·n⌋) smallest values of every row of n.

    Raises
    ------
    InputError
        If ``k`` is not in (0, 1].

    Examples
    --------
    >>> smallest(np.array([3.0, 1.0, 2.0, 5.0]), np.array([0, 3, 4]), 0.7)
    array([False,  True,  True,  True])
    """
    k = check_number("k", k, 0.0, 1.0, low_open=True, such_as="0.2")
    marked = np.zeros(len(values), dtype=np.bool_)
    for _, positions in by_length(offsets):
        n_marked = int(counted(k, np.array([positions.shape[1]]))[0])
        lowest = np.argpartition(values[positions], n_marked - 1, axis=1)[:, :n_marked]
        marked[np.take_along_axis(positions, lowest, axis=1)] = True
    return marked


def mean_of(
    values: NDArray[np.float64], marked: NDArray[np.bool_], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean of the marked values of every row (0 where none is), and how many there are.

    Examples
    --------
    >>> mean_of(np.array([1.0, 3.0, 5.0]), np.array([True, True, False]), np.array([0, 2, 3]))
    (array([2., 0.]), array([2, 0]))
    """
    n_marked = np.add.reduceat(marked, offsets[:-1], dtype=np.int64)
    return row_sums(np.where(marked, values, 0.0), offsets) / np.maximum(n_marked, 1), n_marked
