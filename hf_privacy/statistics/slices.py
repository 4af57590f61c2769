"""The summary of an attack, slice by slice: per class, per memorization bin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hf_privacy.arguments import check_switch, check_whole
from hf_privacy.statistics.checks import check_confidence, check_groups, check_scores, check_shares
from hf_privacy.statistics.summary import summarize


def summarize_slices(
    scores: ArrayLike,
    membership: ArrayLike,
    groups: ArrayLike,
    *,
    fprs: Iterable[float] = (1e-2, 1e-1),
    confidence: float = 0.95,
    min_examples: int = 30,
    simultaneous: bool = False,
) -> dict[Any, dict[str, Any]]:
    """`summarize` on each group of examples by itself.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]
    groups : array-like of int or str, shape [N]
        Slice of each example: its class, its memorization bin.
    fprs : iterable of float, default (0.01, 0.1)
        Targets, each resolved or refused by the slice's own non-members.
    confidence : float, default 0.95
    min_examples : int, default 30
        Members and non-members a slice must hold: fewer say little, and say it about persons.
    simultaneous : bool, default False
        Widen the intervals so that those of one kind hold in all summarized slices together (Bonferroni): needed where
        the worst slice is picked out.

    Returns
    -------
    dict
        Slices ascending, each the dict of `summarize`, or ``{"n_members", "n_nonmembers", "reason"}`` for one that is
        too small. Labels are plain Python values.

    Raises
    ------
    InputError
        See `check_scores`; also if groups do not match, or a target, confidence or min_examples is out of range.

    Notes
    -----
    Each slice has its own threshold, so its TPR is at *its* FPR: slices are compared as if attacked apart. A model
    that leaks nothing overall may leak in one slice, and the highest of many slices is high by chance alone.

    Examples
    --------
    >>> import numpy as np
    >>> membership = np.arange(400) % 2 == 0
    >>> groups = np.where(np.arange(400) < 390, "common", "rare")
    >>> slices = summarize_slices(np.arange(400.0), membership, groups, fprs=[0.1])
    >>> round(slices["common"]["auc"], 3), slices["rare"]["reason"]
    (0.497, '5 members and 5 non-members: a slice needs at least 30 of each')
    """
    scores, membership = check_scores(scores, membership)
    labels = check_groups(groups, len(scores))
    risk = 1.0 - check_confidence(confidence)
    min_examples = check_whole("min_examples", min_examples, at_least=1)
    targets = check_shares("fprs", fprs)
    names, slice_of = np.unique(labels, return_inverse=True)
    n_members = np.bincount(slice_of, weights=membership).astype(int)
    n_nonmembers = np.bincount(slice_of) - n_members
    large_enough = np.minimum(n_members, n_nonmembers) >= min_examples
    if check_switch("simultaneous", simultaneous) and large_enough.any():
        risk /= int(large_enough.sum())
    slices: dict[Any, dict[str, Any]] = {}
    for index, name in enumerate(names.tolist()):
        if large_enough[index]:
            chosen = slice_of == index
            slices[name] = summarize(scores[chosen], membership[chosen], fprs=targets, confidence=1.0 - risk)
        else:
            slices[name] = {
                "n_members": int(n_members[index]),
                "n_nonmembers": int(n_nonmembers[index]),
                "reason": (
                    f"{n_members[index]:,} members and {n_nonmembers[index]:,} non-members: "
                    f"a slice needs at least {min_examples:,} of each"
                ),
            }
    return slices
