"""Offline RMIA's one parameter, tuned on reference models whose members are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_numbers
from hf_privacy.arrays import boolean_array, row_numbers
from hf_privacy.attacks.inputs import probabilities
from hf_privacy.attacks.reference_rows import References, as_table
from hf_privacy.attacks.rmia import likelihood_ratio, offline_probability
from hf_privacy.attacks.rmia_inputs import check_references, side_means
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

_GRID = tuple(step / 10 for step in range(11))


def tune_rmia_a(
    reference_probs: References,
    reference_membership: References,
    *,
    grid: Sequence[float] = _GRID,
    targets: Sequence[int] | None = None,
    leave_out: Callable[[int], Iterable[int]] | ArrayLike | None = None,
) -> float:
    """The ``a`` of offline RMIA under which reference models, attacked as if they were the target, leak most.

    The real target plays no part, so tuning on it cannot flatter the attack. Each of ``targets`` in turn is attacked
    with the other reference models; the AUC is averaged over them and the first of the best grid values returned.
    Examples without an OUT reference model among those left are set aside for it. Neither the population nor γ play a
    part: the attack's scores order examples as r_x does, whatever these are (see `rmia`).

    Parameters
    ----------
    reference_probs : array-like of float, shape [K, N]
        Probability of the true class under each reference model, in [0, 1]: an array or, as in `rmia`, a list of
        arrays that is read in place.
    reference_membership : array-like of bool, shape [K, N]
    grid : sequence of float, default 0, 0.1, …, 1
        Values of ``a`` to try.
    targets : sequence of int, optional
        Reference models to attack; the first four by default (all, where there are fewer).
    leave_out : callable, or array-like of bool, shape [K, K], optional
        Which reference models to leave out with reference model k: rows for ``leave_out(k)``, or row k of the matrix.
        By default those whose membership is the exact complement of k's: reference models of random halves come in
        such pairs, and the partner of k is OUT precisely for the members of k, which would give them away.

    Returns
    -------
    float
        A value of the grid.

    Raises
    ------
    InputError
        As `rmia`; also if the grid is empty, a target or a left-out row is no reference model, or too few reference
        models or examples are left to attack one.

    References
    ----------
    Zarifzadeh et al., "Low-cost high-power membership inference attacks", ICML 2024 (arXiv 2312.03262).

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> half = generator.random((4, 200)) < 0.5
    >>> membership = np.concatenate([half, ~half])
    >>> easiness = generator.random(200)
    >>> probs = np.clip(easiness * 0.6 + 0.2 * membership + generator.normal(0, 0.05, (8, 200)), 0, 1)
    >>> tune_rmia_a(probs, membership, grid=[0.0, 0.7])
    0.7
    """
    grid = check_numbers("grid", grid, 0.0, 1.0)
    references = as_table("reference_probs", reference_probs)
    if len(references.shape) != 2:
        raise InputError(f"reference_probs has shape {references.shape}: pass one row per reference model")
    n_references = references.shape[0]
    if n_references < 2:
        raise InputError(f"reference_probs hold {n_references} reference models: pass at least 2")
    _, rows, membership = check_references("", references.rows[0], references.rows, reference_membership)
    left_out = _left_out_rows(leave_out, membership)
    attacked = range(min(4, n_references)) if targets is None else row_numbers("targets", targets, below=n_references)
    if len(attacked) == 0:
        raise InputError("targets is empty: pass at least one row of reference_probs")

    areas = np.zeros(len(grid))
    for target in attacked:
        others = np.flatnonzero(~left_out[target])
        out_mean, usable = _out_means("reference_probs", rows, membership, others)
        truth = membership[target][usable]
        if not truth.any() or truth.all():
            raise InputError(
                f"reference model {target} cannot be attacked: {len(others)} of {n_references} reference models are "
                f"left, OUT for {int(truth.sum()):,} of its members and {int((~truth).sum()):,} non-members: train "
                "more (4 make two pairs)"
            )
        prob = probabilities("reference_probs", rows[target])[usable]
        out_mean = out_mean[usable]
        for index, a in enumerate(grid):
            areas[index] += auc(likelihood_ratio(prob, offline_probability(out_mean, a)), truth)
    return float(grid[int(np.argmax(areas))])


def _out_means(
    name: str, rows: list[NDArray[Any]], membership: list[NDArray[np.bool_]], others: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Mean over the OUT ones of the ``others``, and where there is one."""
    if len(others) == 0:
        return np.zeros(len(rows[0])), np.zeros(len(rows[0]), dtype=np.bool_)
    _, out_mean, n_in = side_means(name, [rows[row] for row in others], [membership[row] for row in others])
    return out_mean, n_in < len(others)


def _left_out_rows(
    leave_out: Callable[[int], Iterable[int]] | ArrayLike | None, membership: list[NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Row k marks what is left out when reference model k is attacked; itself always."""
    n_references = len(membership)
    left_out = np.eye(n_references, dtype=np.bool_)
    if leave_out is None:
        digests = [blake2b(np.packbits(row).tobytes()).digest() for row in membership]
        complements = [blake2b(np.packbits(~row).tobytes()).digest() for row in membership]
        for row, complement in enumerate(complements):
            left_out[row] |= [other == complement for other in digests]
    elif callable(leave_out):
        for row in range(n_references):
            partners = leave_out(row)
            listed = list(partners) if isinstance(partners, Iterable) else partners
            left_out[row, row_numbers(f"leave_out({row})", listed, below=n_references)] = True
    else:
        matrix = boolean_array("leave_out", leave_out, true="True where left out, or a function of the row")
        if matrix.shape != left_out.shape:
            raise InputError(f"leave_out has shape {matrix.shape}: pass {left_out.shape}, or a function of the row")
        left_out |= matrix
    return left_out
