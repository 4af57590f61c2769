"""Tables of reference models read in place, a stretch of examples at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite, real_array
from hf_privacy.errors import InputError

# Ten vectors of this many float64, 1.3 MB, about fill a processor's second-level cache.
BLOCK = 16_384

References: TypeAlias = ArrayLike | Sequence[Any]
"""A table of reference models: an array, or a list (of lists) of arrays of one length that are never stacked."""


class Table(NamedTuple):
    """An array, or rows kept apart: ``shape`` of the whole and its rows (over the last axis) in order, not copied."""

    shape: tuple[int, ...]
    rows: list[NDArray[Any]]


class Sides(NamedTuple):
    """Mean, and sum of squared distances from it, of the IN and the OUT reference models of every example."""

    in_mean: NDArray[np.float64]
    out_mean: NDArray[np.float64]
    in_squares: NDArray[np.float64]
    out_squares: NDArray[np.float64]


def as_table(name: str, values: Any) -> Table:
    """The rows of an array, or of a list (of lists) of arrays such as one memory-mapped file per reference model.

    Raises
    ------
    InputError
        If rows differ in length or the values are no real numbers.

    Examples
    --------
    >>> as_table("reference_signals", [np.zeros(3), np.ones(3)]).shape
    (2, 3)
    """
    if isinstance(values, (list, tuple)) and any(_is_row(part) for part in values):
        parts = [as_table(name, part) for part in values]
        if any(part.shape != parts[0].shape for part in parts):
            raise InputError(f"{name} is ragged: pass rows of one length")
        return Table((len(parts), *parts[0].shape), [row for part in parts for row in part.rows])
    array = real_array(name, values)
    return Table(array.shape, [array[index] for index in np.ndindex(array.shape[:-1])])


def _is_row(part: Any) -> bool:
    return isinstance(part, (list, tuple)) or bool(getattr(part, "ndim", 0))


def membership_rows(name: str, values: Any, shape: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """The K rows of a boolean table [K, N], given like `as_table`'s.

    Raises
    ------
    InputError
        If the shape differs or the values are not boolean.

    Examples
    --------
    >>> membership_rows("reference_membership", [[True, False]], (1, 2))
    [array([ True, False])]
    """
    table = as_table(name, values)
    if table.shape != shape:
        raise InputError(f"{name} has shape {table.shape}: pass {shape}, one row per reference model")
    for row in table.rows:
        if row.dtype != np.bool_:
            raise InputError(f"{name} has dtype {row.dtype}: pass booleans, True where the example is IN")
    return table.rows


def blocks(n_examples: int) -> Iterator[slice]:
    """Stretches of at most `BLOCK` examples that cover all.

    Examples
    --------
    >>> [(block.start, block.stop) for block in blocks(20_000)]
    [(0, 16384), (16384, 20000)]
    """
    for start in range(0, n_examples, BLOCK):
        yield slice(start, min(start + BLOCK, n_examples))


def count_in(membership: list[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """How many reference models were trained on each example.

    Examples
    --------
    >>> count_in([np.array([True, False]), np.array([True, True])])
    array([2, 1])
    """
    n_in = np.zeros(len(membership[0]), dtype=np.int64)
    for first in range(0, len(membership), 255):  # as many as a byte can count: ten times faster than in int64
        for block in blocks(len(n_in)):
            part = np.zeros_like(n_in[block], dtype=np.uint8)
            for row in membership[first : first + 255]:
                part += row[block].view(np.uint8)
            n_in[block] += part
    return n_in


def side_moments(
    name: str, rows: list[NDArray[Any]], membership: list[NDArray[np.bool_]], n_in: NDArray[np.int64]
) -> Sides:
    """Mean and squared distances of both sides (0 where a side is empty), in two passes over each stretch of examples.

    No sum mixes the two sides or large offsets: distances are taken from the first row, then from the side's mean, so
    nothing cancels. What only rounding left of a constant side is set to 0.

    Raises
    ------
    InputError
        If a value is NaN or infinite, or so large that its square overflows.

    Examples
    --------
    >>> rows, membership = [np.array([1.0]), np.array([3.0]), np.array([7.0])], [np.array([True])] * 2
    >>> sides = side_moments("reference_signals", rows, [*membership, np.array([False])], np.array([2]))
    >>> sides.in_mean, sides.out_mean, sides.in_squares
    (array([2.]), array([7.]), array([2.]))
    """
    n_examples, n_rows = len(n_in), len(rows)
    sides = Sides(*(np.zeros(n_examples) for _ in Sides._fields))
    for block in blocks(n_examples):
        in_mean, out_mean, in_squares, out_squares = (vector[block] for vector in sides)
        in_count, out_count = n_in[block], n_rows - n_in[block]
        with np.errstate(over="ignore", invalid="ignore"):  # both are looked for below
            origin = rows[0][block].astype(np.float64)
            distance, part = np.empty_like(origin), np.empty_like(origin)
            for row, is_in in zip(rows, membership, strict=True):
                np.subtract(row[block], origin, out=distance)
                np.multiply(distance, is_in[block], out=part)
                in_mean += part
                distance -= part
                out_mean += distance
            in_mean /= np.maximum(in_count, 1)
            out_mean /= np.maximum(out_count, 1)
            for row, is_in in zip(rows, membership, strict=True):
                np.subtract(row[block], origin, out=distance)
                np.subtract(distance, in_mean, out=part)
                part *= part
                part *= is_in[block]
                in_squares += part
                distance -= out_mean
                distance *= distance
                distance *= ~is_in[block]
                out_squares += distance
            _drop_rounding(in_squares, in_mean, in_count)
            _drop_rounding(out_squares, out_mean, out_count)
            in_mean += origin
            out_mean += origin
            # A value that is not finite makes a sum that is not, so one look at the sums stands for one at each value.
            if not math.isfinite(in_squares.sum() + out_squares.sum()):
                _refuse(name, rows)
    return sides


def _drop_rounding(squares: NDArray[np.float64], mean_distance: NDArray[np.float64], count: NDArray[np.int64]) -> None:
    """Set to zero the squared distances that the rounding of a sum of equal values can make."""
    error = count * np.finfo(np.float64).eps * mean_distance
    squares[squares <= count * error**2] = 0.0


def _refuse(name: str, rows: list[NDArray[Any]]) -> None:
    for row in rows:
        finite(name, row)
    raise InputError(f"{name} holds values so large that their squares overflow: pass φ, a difference of logits")
