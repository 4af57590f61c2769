"""Pairs of rows whose mean absolute difference is small, all of them, without comparing all pairs.

Averaging over a block cannot increase a mean absolute difference: for arrays x and y cut into blocks b with a share
w_b of the elements,  Σ_b w_b |mean_b(x) − mean_b(y)| ≤ mean |x − y|  (triangle inequality). Rows within the tolerance
are therefore within it on a few block means too. A k-d tree finds those candidates, a finer grid thins them out, and
the full rows decide: nothing is missed and nothing is reported unseen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hf_privacy.errors import InputError
from hf_privacy.progress import progress

_ROWS_AT_A_TIME = 256
_SLACK = 1e-6  # of the tolerance's unit, for rounding: candidates are verified on the full rows
_ELEMENTS_AT_A_TIME = 2**24


def block_means(rows: np.ndarray, blocks: int, axes: tuple[int, ...]) -> np.ndarray:
    """Means over a grid of `blocks` blocks along each of `axes`, times each block's share: float32[N, blocks…].

    The L1 distance of two results is at most the mean absolute difference of the two rows.

    Parameters
    ----------
    rows : array[N, ...]
        Images [N, H, W, C] with axes (1, 2), or vectors [N, D] with axes (1,). Axes shorter than `blocks` are kept.

    Examples
    --------
    >>> block_means(np.array([[1.0, 3.0, 5.0, 7.0]]), 2, (1,))
    array([[1., 3.]], dtype=float32)
    """
    elements = np.prod(rows.shape[1:])
    sums, kind = rows, np.float64 if rows.dtype.kind == "f" else np.int64  # pixels of 8 bits are summed exactly
    for axis in axes:
        edges = np.linspace(0, sums.shape[axis], min(blocks, sums.shape[axis]) + 1).astype(np.int64)[:-1]
        sums = np.add.reduceat(sums, edges, axis=axis, dtype=kind)
    return (sums / elements).astype(np.float32)


def near_components(
    coarse: np.ndarray,
    fine: np.ndarray,
    rows_of: Callable[[np.ndarray], np.ndarray],
    *,
    tolerance: float,
    max_candidates: int,
) -> np.ndarray:
    """Number of the component of each row, where rows within the tolerance are joined: int64[N].

    Parameters
    ----------
    coarse, fine : float32[N, d], float32[N, D]
        `block_means` on a coarse grid (few dimensions, for the tree) and on a finer one.
    rows_of : callable
        Full rows [K, ...] of K row numbers, in the unit of the tolerance times the same factor as the block means.
    tolerance : float
        Largest mean absolute difference.
    max_candidates : int
        Most candidate pairs to look at.

    Raises
    ------
    InputError
        More candidate pairs than `max_candidates`: the rows are too alike for this tolerance.
    """
    from scipy.spatial import cKDTree  # only here: a reference worker looks for no repeats

    tree = cKDTree(coarse)
    radius = tolerance + _SLACK
    seen = 0
    kept: list[np.ndarray] = []
    starts = range(0, len(coarse), _ROWS_AT_A_TIME)
    for start in progress(starts, description=f"looking for near-exact repeats, {_ROWS_AT_A_TIME} rows at a time"):
        chunk = coarse[start : start + _ROWS_AT_A_TIME]
        neighbours = tree.query_ball_point(chunk, radius, p=1, return_length=True)  # counts first: lists may be long
        seen += int(neighbours.sum()) - len(chunk)
        if seen > 2 * max_candidates:
            raise InputError(
                f"more than {max_candidates:,} pairs of rows may be near-exact repeats at a tolerance of "
                f"{tolerance:.4g}: pass a smaller tolerance, a larger max_candidates, or near=False"
            )
        if neighbours.max() <= 1:
            continue
        busy = np.flatnonzero(neighbours > 1)
        lists = tree.query_ball_point(chunk[busy], radius, p=1)
        left = np.repeat(busy + start, [len(found) for found in lists])
        right = np.concatenate([np.asarray(found, dtype=np.int64) for found in lists])
        pairs = np.stack([left, right], axis=1)[left < right]
        kept.append(pairs[_close(fine, pairs, radius)])
    pairs = np.concatenate(kept) if kept else np.empty((0, 2), dtype=np.int64)
    return components(_verified(pairs, rows_of, tolerance), len(coarse))


def components(pairs: np.ndarray, n_rows: int) -> np.ndarray:
    """Connected components of rows joined by pairs int64[P, 2]: the number of each row's component, int64[N]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs), dtype=bool)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(n_rows, n_rows))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _close(rows: np.ndarray, pairs: np.ndarray, radius: float) -> np.ndarray:
    """Whether the L1 distance of each pair is within the radius."""
    step = max(1, _ELEMENTS_AT_A_TIME // max(1, rows.shape[1]))
    parts = [
        np.abs(rows[pairs[i : i + step, 0]] - rows[pairs[i : i + step, 1]]).sum(axis=1, dtype=np.float64) <= radius
        for i in range(0, len(pairs), step)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)


def _verified(pairs: np.ndarray, rows_of: Callable[[np.ndarray], np.ndarray], tolerance: float) -> np.ndarray:
    """The pairs whose full rows are within the tolerance."""
    if len(pairs) == 0:
        return pairs
    verified = []
    step = max(1, _ELEMENTS_AT_A_TIME // rows_of(pairs[0, :1]).size)
    for i in range(0, len(pairs), step):
        some = pairs[i : i + step]
        wanted, places = np.unique(some, return_inverse=True)
        rows = rows_of(wanted).reshape(len(wanted), -1)
        left, right = places.reshape(-1, 2).T
        verified.append(some[np.abs(rows[left] - rows[right]).mean(axis=1) <= tolerance * (1 + 1e-9)])
    return np.concatenate(verified)
