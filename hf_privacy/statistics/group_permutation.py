"""The permutation test of whole groups, and what it shares with that of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import gamma, norm, rankdata

from hf_privacy.errors import InputError
from hf_privacy.statistics.clusters import group_of_each
from hf_privacy.statistics.tpr import allowed_false_positives, why_unresolved

ENTRIES_AT_ONCE = 4_000_000  # of one block of permutations × examples
# Two statistics that are equal but for rounding count as equal.
_ROUNDING = 1e-9


def group_permutation_test(
    scores: Sequence[NDArray[np.float64]],
    membership: NDArray[np.bool_],
    groups: ArrayLike,
    fprs: Sequence[float],
    n_permutations: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """`membership_permutation_test` by groups: as many groups are members as were, whatever their sizes.

    The AUC is looked at as the sum of its ranks over the groups, normal with the variance that permutations of groups
    give it; the TPR, which comes in steps of groups, as gamma with the mean and variance it has over the permutations
    and the truth together, so that it stays one of equals. Both only put unlike statistics on one scale: a p-value is
    a share of permutations.
    """
    group = group_of_each(groups, len(membership))
    sizes = np.bincount(group)
    n_inside = np.bincount(group, weights=membership)
    mixed = int(np.count_nonzero((n_inside > 0) & (n_inside < sizes)))
    if mixed:
        raise InputError(f"groups hold {mixed:,} with members and non-members: pass groups of one kind each")
    of_group = n_inside > 0
    n_nonmembers = int(sizes[~of_group].sum())
    for fpr in fprs:
        if allowed_false_positives(n_nonmembers, fpr) < 0:
            raise InputError(f"fprs hold {fpr:g}: {why_unresolved(n_nonmembers, fpr)}; leave it out")
    # The truth first, as one of the permutations.
    flags = np.concatenate(
        [of_group[None], generator.permuted(np.broadcast_to(of_group, (n_permutations, len(sizes))), axis=1)]
    )
    logs = [_areas(scores, group, flags), *_rates(scores, group, sizes, flags, fprs)]
    return corrected([log[0] for log in logs], np.min([log[1:].min(axis=1) for log in logs], axis=0), fprs)


def corrected(
    found: Sequence[NDArray[np.float64]], extremes: NDArray[np.float64], fprs: Sequence[float]
) -> dict[str, Any]:
    """P-values of what was found, the AUC's first, among the most extreme of each permutation (lower is more so)."""
    ordered = np.sort(extremes)
    p_values = [
        (1 + np.searchsorted(ordered, values + _ROUNDING * np.abs(values), side="right")) / (len(ordered) + 1)
        for values in found
    ]
    return {
        "auc": p_values[0].tolist(),
        "tpr": {fpr: values.tolist() for fpr, values in zip(fprs, p_values[1:], strict=True)},
        "n_permutations": len(ordered),
    }


class Order:
    """The examples from the highest score down, and where ties end."""

    def __init__(self, scores: NDArray[np.float64]) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.ends = np.append(np.flatnonzero(np.diff(scores[self.order])), len(scores) - 1)

    def members_found(self, membership: NDArray[np.bool_], allowed: NDArray[np.int64], head: int) -> NDArray[np.int64]:
        """Members called at the lowest threshold with no more false positives than allowed, a row a permutation.

        The first ``head`` examples are looked at and, where these are not enough, all.
        """
        order, ends = self.order, self.ends
        kept = ends[: np.searchsorted(ends, head) + 1]
        outside = ~membership[:, order[: kept[-1] + 1]]
        false_positives = np.cumsum(outside, axis=1, dtype=np.int32)[:, kept]
        steps = np.count_nonzero(false_positives <= allowed[:, None], axis=1)
        at = np.maximum(steps - 1, 0)
        found = np.where(steps > 0, kept[at] + 1 - false_positives[np.arange(len(at)), at], 0)
        for row in np.flatnonzero(steps == len(kept)) if len(kept) < len(ends) else ():
            false = np.cumsum(~membership[row, order], dtype=np.int64)[ends]
            last = int(np.searchsorted(false, allowed[row], side="right")) - 1
            found[row] = ends[last] + 1 - false[last]
        return found


def _areas(
    scores: Sequence[NDArray[np.float64]], group: NDArray[np.int64], flags: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Log p of the AUC of each permutation and attack: float64 [P, A]."""
    centred = np.stack([rankdata(row) for row in scores]) - (len(group) + 1) / 2
    sums = np.stack([np.bincount(group, weights=row) for row in centred])
    n, n_members = flags.shape[1], int(flags[0].sum())
    spread = np.sqrt(np.sum(sums**2, axis=1) * n_members * (n - n_members) / (n * (n - 1)))
    return norm.logsf(flags.astype(np.float64) @ sums.T / np.where(spread > 0, spread, np.inf))


def _rates(
    scores: Sequence[NDArray[np.float64]],
    group: NDArray[np.int64],
    sizes: NDArray[np.int64],
    flags: NDArray[np.bool_],
    fprs: Sequence[float],
) -> list[NDArray[np.float64]]:
    """Log p of the TPR of each permutation and attack, one array for each FPR."""
    orders = [Order(row) for row in scores]
    n_members = flags @ sizes
    # Of unequal groups, a permutation may hold another number of non-members.
    allowed = [np.array([allowed_false_positives(n, fpr) for n in (len(group) - n_members)]) for fpr in fprs]
    rates = np.empty((len(fprs), len(flags), len(scores)))
    block = max(1, ENTRIES_AT_ONCE // len(group))
    for start in range(0, len(flags) if fprs else 0, block):
        some = slice(start, start + block)
        membership = flags[some][:, group]
        for at, limits in enumerate(allowed):
            # Groups lie close together, so the first false positive too many may be far down.
            likely = 4 * (limits[some].max() + 1) * len(group) / max(1, (len(group) - n_members[some]).min())
            head = min(len(group), int(likely) + 50)
            for attack, order in enumerate(orders):
                rates[at, some, attack] = order.members_found(membership, limits[some], head) / n_members[some]
    return [_gamma_tail(rate) for rate in rates]


def _gamma_tail(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    mean, variance = rates.mean(axis=0), rates.var(axis=0)
    varies = variance > 0
    mean, variance = np.where(varies, mean, 1.0), np.where(varies, variance, 1.0)
    return np.where(varies, gamma.logsf(rates, mean**2 / variance, scale=variance / mean), 0.0)
