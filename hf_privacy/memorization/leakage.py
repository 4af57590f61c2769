"""How much of an attack's success falls on the few most memorized examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike

from hf_privacy.arrays import finite_vector
from hf_privacy.statistics import vulnerable_share
from hf_privacy.statistics.checks import check_scores, check_shares


def leakage_share(
    scores: ArrayLike,
    membership: ArrayLike,
    memorization: ArrayLike,
    *,
    fpr: float = 0.01,
    top: Iterable[float] = (0.01, 0.05),
    min_examples: int = 10,
) -> dict[str, Any]:
    """Of the members an attack finds, the share that are among the most memorized members.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Of a membership attack on one target; higher means more likely a member.
    membership : array-like of bool, shape [N]
        Of the target.
    memorization : array-like of float, shape [N]
        From reference models, not from this target, or its own luck would rank it.
    fpr : float, default 0.01
        The threshold is the lowest whose false positive rate, over all non-members, is not above this.
    top : iterable of float, default (0.01, 0.05)
        In (0, 1), shares of the **members**: the most memorized 1 % of 10,000 members are 100 examples.
    min_examples : int, default 10
        A top of fewer would point at persons; its share is None.

    Returns
    -------
    dict
        ``fpr``; ``n_members``; ``n_true_positives``, the denominator of every share; ``shares``, one dict per top:
        ``top``, ``share`` (None where the top holds fewer than ``min_examples`` or no member was found) and
        ``n_examples``, how many members the top holds. Of members tied in memorization at the border the mean is
        counted, so that the order of examples plays no part. An attack that finds members whatever their memorization
        has a share equal to ``top`` itself.

    Raises
    ------
    InputError
        See `hf_privacy.statistics.check_scores`; also if memorization does not match or is not finite, a top or fpr
        lies outside (0, 1), or the non-members cannot resolve the fpr.

    Examples
    --------
    >>> import numpy as np
    >>> membership = np.arange(2000) < 1000
    >>> memorization = np.random.default_rng(0).random(2000)
    >>> scores = np.random.default_rng(1).normal(size=2000) + 5 * (membership & (memorization > 0.95))
    >>> result = leakage_share(scores, membership, memorization)
    >>> [(entry["top"], round(entry["share"], 2), entry["n_examples"]) for entry in result["shares"]]
    [(0.01, 0.19, 10), (0.05, 0.89, 50)]
    """
    values, members = check_scores(scores, membership)
    ranking = finite_vector("memorization", memorization, n_examples=len(values))
    parts = check_shares("top", top)
    result = vulnerable_share(values, members, fpr=fpr, shares=parts, exposure=ranking, min_examples=min_examples)
    return {
        "fpr": result["fpr"],
        "n_members": result["n_members"],
        "n_true_positives": round(result["found"] * result["n_members"]),
        "shares": [
            {"top": part["share"], "share": part["share_of_true_positives"], "n_examples": part["n_examples"]}
            for part in result["most_exposed"]
        ],
    }
