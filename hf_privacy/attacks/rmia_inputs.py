"""The target's and the reference models' probabilities as RMIA takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import real_array
from hf_privacy.attacks.inputs import probabilities
from hf_privacy.attacks.reference_rows import as_table, blocks, count_in, membership_rows
from hf_privacy.errors import InputError

_BITS_OF_ONE = np.float64(1.0).view(np.uint64)


def check_references(
    prefix: str, prob: ArrayLike, reference_probs: Any, reference_membership: Any | None
) -> tuple[NDArray[np.float64], list[NDArray[Any]], list[NDArray[np.bool_]]]:
    """Target's probabilities [N], K rows of reference models' (their range is checked when read) and of membership.

    Raises
    ------
    InputError
        See `rmia`.

    Examples
    --------
    >>> check_references("population_", [0.5], [[0.5], [0.1]], None)[2]
    [array([False]), array([False])]
    """
    target = real_array(f"{prefix}prob", prob)
    references = as_table(f"{prefix}reference_probs", reference_probs)
    if target.ndim != 1 or target.size == 0:
        raise InputError(f"{prefix}prob has shape {target.shape}: pass one probability per example")
    if len(references.shape) != 2 or references.shape[1] != len(target):
        raise InputError(
            f"{prefix}reference_probs has shape {references.shape} and {prefix}prob {target.shape}: "
            "pass one row per reference model and one column per example"
        )
    if not references.rows:
        raise InputError(f"{prefix}reference_probs hold no reference model: pass at least one row")
    target = probabilities(f"{prefix}prob", target)
    if reference_membership is None:
        return target, references.rows, [np.zeros(len(target), dtype=np.bool_)] * len(references.rows)
    name = "population_membership" if prefix else "reference_membership"
    return target, references.rows, membership_rows(name, reference_membership, references.shape)


def side_means(
    name: str, rows: list[NDArray[Any]], membership: list[NDArray[np.bool_]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean over the IN and over the OUT reference models of every example (0 where there is none), and the IN count.

    The K rows of length N are read in place, a stretch of examples at a time.

    Raises
    ------
    InputError
        If a reference's probability is NaN or outside [0, 1].

    Examples
    --------
    >>> side_means("reference_probs", [np.array([0.5]), np.array([0.25])], [np.array([True]), np.array([False])])
    (array([0.5]), array([0.25]), array([1]))
    """
    n_in = count_in(membership)
    in_mean, out_mean = np.zeros(len(n_in)), np.zeros(len(n_in))
    for block in blocks(len(n_in)):
        in_sum, out_sum = in_mean[block], out_mean[block]
        part = np.empty_like(in_sum)
        for row, is_in in zip(rows, membership, strict=True):
            values = row[block].astype(np.float64, copy=False)
            # One pass for the range: read as whole numbers, floats in [0, 1] are those up to the one of 1.0, while a
            # sign or a NaN makes a larger one (−0.0 too, which the second look lets pass).
            if values.view(np.uint64).max() > _BITS_OF_ONE:
                probabilities(name, row)
            np.multiply(values, is_in[block], out=part)
            in_sum += part
            np.subtract(values, part, out=part)
            out_sum += part
    in_mean /= np.maximum(n_in, 1)
    out_mean /= np.maximum(len(rows) - n_in, 1)
    return in_mean, out_mean, n_in
