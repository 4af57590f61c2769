"""Memorization in a few figures: how much there is, how it spreads, and how far the figures can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hf_privacy.memorization.bins import BIN_EDGES, memorization_bin
from hf_privacy.memorization.feldman_zhang import feldman_zhang
from hf_privacy.memorization.reliability import reliability
from hf_privacy.memorization.standard_error import memorization_standard_error
from hf_privacy.memorization.tables import Table, check_tables, membership_row


def summarize_memorization(
    correct: Table,
    reference_membership: Table,
    *,
    edges: Sequence[float] = BIN_EDGES,
    wanted: float = 0.9,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of the `feldman_zhang` scores of all examples, in plain Python numbers: aggregates only.

    Parameters
    ----------
    correct, reference_membership
        As in `feldman_zhang`.
    edges : sequence of float
        Of the bins, as in `memorization_bin`.
    wanted : float, default 0.9
        Reliability that ``n_references_needed`` is for.
    seed : int, default 0
        Of the random halves of `reliability`.

    Returns
    -------
    dict
        ``mean_memorization``; ``share_above_0.25`` and ``share_above_0.5``, shares of the examples at or above;
        ``bins``, one dict per bin: ``memorization_from``, ``memorization_to`` and ``n_examples``; ``n_references``
        and ``n_examples``. Where every example has at least two reference models a side also
        ``mean_standard_error``, and where the scores also differ between three examples or more,
        ``reliability`` and, where it is above 0, ``n_references_needed``.

    Raises
    ------
    InputError
        As `feldman_zhang`, `memorization_bin` and `reliability`.

    Examples
    --------
    >>> correct = [[1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 1, 1]]
    >>> membership = [[True, True, False], [True, True, True], [False, False, True], [False, False, False]]
    >>> summary = summarize_memorization(correct, membership, edges=[0.5])
    >>> round(summary["mean_memorization"], 3), [part["n_examples"] for part in summary["bins"]]
    (0.333, [2, 1])
    >>> summary["mean_standard_error"], summary["reliability"]
    (0.0, 1.0)
    """
    correct, reference_membership = check_tables(correct, reference_membership)
    scores = feldman_zhang(correct, reference_membership)
    counts = np.bincount(memorization_bin(scores, edges=edges), minlength=len(edges) + 1)
    bounds = [-1.0, *(float(edge) for edge in edges), 1.0]
    n_in = np.sum([membership_row(row, len(scores)) for row in reference_membership], axis=0)
    summary: dict[str, Any] = {
        "mean_memorization": float(scores.mean()),
        "share_above_0.25": float(np.mean(scores >= 0.25)),
        "share_above_0.5": float(np.mean(scores >= 0.5)),
        "bins": [
            {"memorization_from": low, "memorization_to": high, "n_examples": int(count)}
            for low, high, count in zip(bounds[:-1], bounds[1:], counts, strict=True)
        ],
        "n_references": len(correct),
        "n_examples": len(scores),
    }
    if np.minimum(n_in, len(correct) - n_in).min() >= 2:
        summary["mean_standard_error"] = float(memorization_standard_error(correct, reference_membership).mean())
        if len(scores) >= 3 and np.ptp(scores) >= 1e-12:
            trust = reliability(correct, reference_membership, wanted=wanted, seed=seed)
            summary["reliability"] = trust["reliability"]
            if trust["n_references_needed"] is not None:
                summary["n_references_needed"] = trust["n_references_needed"]
    return summary
