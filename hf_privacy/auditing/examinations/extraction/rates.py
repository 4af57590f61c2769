"""Shares of rows that are extracted, each with its interval, and what of them is owed to training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hf_privacy.statistics import rate_difference
from hf_privacy.statistics.differences import difference_of
from hf_privacy.statistics.grouped_rate import grouped_rate


def share_of(extracted: np.ndarray, groups: np.ndarray | None, *, confidence: float) -> dict[str, Any]:
    """A share with its interval (Clopper–Pearson), which counts rows of one group as far as they say more than one.

    Examples
    --------
    >>> found = share_of(np.arange(10) < 5, None, confidence=0.95)
    >>> found["rate"], round(found["low"], 3), found["n_examples"]
    (0.5, 0.187, 10)
    """
    rate, low, high = grouped_rate(extracted, groups, confidence=confidence)
    return {"rate": rate, "low": low, "high": high, "n_examples": len(extracted)}


def compared(
    extracted: Mapping[str, np.ndarray], *, membership: np.ndarray, groups: np.ndarray | None, confidence: float
) -> dict[str, Any]:
    """Shares of members and held-out rows under the target and its base, and the leakage.

    The leakage is members less held-out rows, less the same of the base where there is one. Its interval takes the
    two models for independent of each other; a base that gives back the same rows makes it wider than it need be.

    Parameters
    ----------
    extracted : mapping of str to bool[M]
        Of "target" and, where there is one, "base".
    membership : bool[M]
    groups : int64[M], optional
    confidence : float

    Returns
    -------
    dict
        ``members``, ``heldout``, ``base_members``, ``base_heldout`` (None without a base) and ``leakage``.

    Examples
    --------
    >>> hits, membership = np.arange(20) < 8, np.arange(20) < 10
    >>> found = compared({"target": hits, "base": ~hits & hits}, membership=membership, groups=None, confidence=0.95)
    >>> found["members"]["rate"], found["heldout"]["rate"], found["leakage"]["value"]
    (0.8, 0.0, 0.8)
    """
    found: dict[str, Any] = {"base_members": None, "base_heldout": None}
    differences = {}
    for name, hits in extracted.items():
        sides = []
        for side, there in (("members", membership), ("heldout", ~membership)):
            own = None if groups is None else groups[there]
            share = share_of(hits[there], own, confidence=confidence)
            found[side if name == "target" else f"base_{side}"] = share
            sides.append((share["rate"], share["low"], share["high"]))
        if groups is None:
            counts = [int(hits[membership].sum()), int(membership.sum())]
            counts += [int(hits[~membership].sum()), int((~membership).sum())]
            differences[name] = rate_difference(*counts, confidence=confidence)
        else:
            differences[name] = difference_of(*sides)
    leakage = differences["target"]
    if "base" in differences:
        leakage = difference_of(leakage, differences["base"])
    return {**found, "leakage": dict(zip(("value", "low", "high"), leakage, strict=True))}
