"""Do any of several attacks do better than guessing? One test for all of them, by permuting who is a member."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import nhypergeom, norm, rankdata

from hf_privacy.arguments import check_seed, check_whole
from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_scores, check_shares
from hf_privacy.statistics.group_permutation import ENTRIES_AT_ONCE, Order, corrected, group_permutation_test
from hf_privacy.statistics.tpr import allowed_false_positives, why_unresolved


def membership_permutation_test(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    fprs: Iterable[float] = (0.01,),
    n_permutations: int = 2000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> dict[str, Any]:
    """P-values of every attack's AUC and TPR against guessing, corrected for looking at all of them.

    Were the scores the same whoever had been a member, every choice of as many members among the examples would be as
    likely as the true one. So membership is permuted and the scores stay. Each statistic is put on the scale of its
    own p-value under guessing, and of each permutation only the most extreme of all attacks and statistics counts: a
    corrected p-value is the share of permutations whose most extreme is at least as extreme as the statistic found.
    The chance that any of them falls to α or below without leakage is at most α.

    Parameters
    ----------
    scores : array-like of float, shape [A, N]
        One row an attack; higher means more likely a member.
    membership : array-like of bool, shape [N]
    fprs : iterable of float, default (0.01,)
        Where the TPR is tested beside the AUC, each in (0, 1) and resolved by the non-members; may be empty.
    n_permutations : int, default 2000
        The smallest p-value is 1/(n_permutations + 1).
    seed : int, default 0
    groups : array-like of int or str, shape [N], optional
        What was drawn as a whole, such as the author an example is of: whole groups are permuted, and as many of them
        are members as were. Each is of members or of non-members alone.

    Returns
    -------
    dict
        ``auc``, a list of A p-values; ``tpr``, by FPR such a list; ``n_permutations``.

    Raises
    ------
    InputError
        See `check_scores`, for each attack; also if there is no attack, an FPR is out of range or not resolved by the
        non-members (see `tpr_at_fpr`), n_permutations or seed is out of range, or groups do not match or hold members
        and non-members.

    Notes
    -----
    Exact where members were drawn at random from the examples (or groups), however the attacks depend on each other.
    Of a draw stratified by class the test is cautious: it also permutes between classes. Scores that were computed
    with the membership, such as a comparison with the non-members, must not give it away by themselves.

    References
    ----------
    Westfall and Young, "Resampling-based multiple testing", 1993, section 2.3 (single-step); Phipson and Smyth,
    "Permutation p-values should never be zero", 2010.

    Examples
    --------
    >>> import numpy as np
    >>> membership = np.arange(400) < 200
    >>> scores = np.random.default_rng(0).normal(size=(2, 400))
    >>> scores[1] += membership
    >>> found = membership_permutation_test(scores, membership, fprs=[0.1], n_permutations=500)
    >>> [p < 0.025 for p in found["auc"]], [p < 0.025 for p in found["tpr"][0.1]]
    ([False, True], [False, True])
    """
    rows = [check_scores(row, membership) for row in _rows(scores)]
    truth = rows[0][1]
    n_permutations = check_whole("n_permutations", n_permutations, at_least=1)
    generator = np.random.default_rng(check_seed(seed))
    targets = check_shares("fprs", fprs)
    if groups is not None:
        values = [row for row, _ in rows]
        return group_permutation_test(values, truth, groups, targets, n_permutations, generator)
    areas = _Areas([values for values, _ in rows], truth)
    rates = [_Rates([values for values, _ in rows], truth, fpr) for fpr in targets]
    statistics: list[_Areas | _Rates] = [areas, *rates]
    found = [statistic(truth[None])[0] for statistic in statistics]
    block = max(1, ENTRIES_AT_ONCE // len(truth))
    extremes = []
    for start in range(0, n_permutations, block):
        shape = (min(block, n_permutations - start), len(truth))
        permuted = generator.permuted(np.broadcast_to(truth, shape), axis=1)
        extremes.append(np.min([statistic(permuted).min(axis=1) for statistic in statistics], axis=0))
    return corrected(found, np.concatenate(extremes), targets)


def _rows(scores: ArrayLike) -> list[NDArray[Any]]:
    table = real_array("scores", scores)
    if table.ndim != 2 or len(table) == 0:
        raise InputError(f"scores have shape {table.shape}: pass one row of scores per attack")
    return list(table)


class _Areas:
    """log p of each attack's AUC, normal with the exact variance that permutations of these ranks have."""

    def __init__(self, scores: list[NDArray[np.float64]], membership: NDArray[np.bool_]) -> None:
        ranks = np.stack([rankdata(row) for row in scores])
        self.ranks = ranks - (len(membership) + 1) / 2
        n, n_members = len(membership), int(membership.sum())
        spread = np.sqrt(np.sum(self.ranks**2, axis=1) * n_members * (n - n_members) / (n * (n - 1)))
        self.spread = np.where(spread > 0, spread, np.inf)  # constant scores never stand out

    def __call__(self, membership: NDArray[np.bool_]) -> NDArray[np.float64]:
        return norm.logsf(membership.astype(np.float64) @ self.ranks.T / self.spread)


class _Rates:
    """log p of each attack's TPR, by the number of members that precede the first non-member too many.

    Without ties that number is negative hypergeometric whatever the attack; with ties it can only be smaller.
    """

    def __init__(self, scores: list[NDArray[np.float64]], membership: NDArray[np.bool_], fpr: float) -> None:
        n, self.n_members = len(membership), int(membership.sum())
        n_nonmembers = n - self.n_members
        self.allowed = allowed_false_positives(n_nonmembers, fpr)
        if self.allowed < 0:
            raise InputError(f"fprs hold {fpr:g}: {why_unresolved(n_nonmembers, fpr)}; leave it out")
        self.orders = [Order(row) for row in scores]
        self.log_p = _log_at_least(self.n_members, n_nonmembers, self.allowed)
        # Nearly always the first non-member too many is among so many; else all are looked through.
        likely = (self.allowed + 1) * n / n_nonmembers
        self.head = min(n, int(np.ceil(likely + 8 * np.sqrt(likely) + 10)))

    def __call__(self, membership: NDArray[np.bool_]) -> NDArray[np.float64]:
        allowed = np.full(len(membership), self.allowed)
        return np.stack(
            [self.log_p[order.members_found(membership, allowed, self.head)] for order in self.orders], axis=1
        )


def _log_at_least(n_members: int, n_nonmembers: int, allowed: int) -> NDArray[np.float64]:
    """Log P(X ≥ x) for x = 0 … n_members: X members precede non-member number ``allowed`` + 1 in a random order."""
    if allowed >= n_nonmembers:  # every member is called
        return np.zeros(n_members + 1)
    log_mass = nhypergeom.logpmf(np.arange(n_members + 1), n_members + n_nonmembers, n_members, allowed + 1)
    log_tail = np.logaddexp.accumulate(log_mass[::-1])[::-1]
    return log_tail - log_tail[0]
