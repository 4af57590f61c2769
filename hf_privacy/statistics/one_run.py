"""Lower bound of ε from canaries put in or left out of one training run by fair coins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, expit, logit
from scipy.stats import beta, binom

from hf_privacy.arguments import LARGEST_SEED, check_choice, check_number, check_seed, check_whole
from hf_privacy.arrays import plain_array
from hf_privacy.errors import InputError
from hf_privacy.statistics.bisection import last_holding
from hf_privacy.statistics.checks import check_confidence, check_delta, check_scores


def one_run_p_value(n_correct: int, n_guesses: int, n_canaries: int, *, epsilon: float, delta: float = 0.0) -> float:
    """How likely so many correct guesses are, at most, if the training is (ε, δ)-differentially private.

    Parameters
    ----------
    n_correct, n_guesses, n_canaries : int
        v ≤ r ≤ m.
    epsilon : float
        At least 0.
    delta : float, default 0
        In [0, 1).

    Returns
    -------
    float
        min(1, β + 2mδα) with q = e^ε/(1 + e^ε), β = P[Bin(r, q) ≥ v], α = max over i = 1 … v of
        P[v − i ≤ Bin(r, q) < v]/i.

    Raises
    ------
    InputError
        If the counts are not 0 ≤ v ≤ r ≤ m with m ≥ 1, epsilon is negative, or delta lies outside [0, 1).

    References
    ----------
    Steinke, Nasr and Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023 (arXiv 2305.08846),
    Corollary 5.4 and appendix D.

    Examples
    --------
    >>> round(one_run_p_value(75, 100, 1000, epsilon=0.673, delta=1e-4), 3)
    0.05
    """
    n_canaries = check_whole("n_canaries", n_canaries, at_least=1)
    n_guesses = check_whole("n_guesses", n_guesses, at_least=0)
    n_correct = check_whole("n_correct", n_correct, at_least=0)
    delta = check_delta(delta)
    if not n_correct <= n_guesses <= n_canaries:
        raise InputError(
            f"{n_correct:,} correct of {n_guesses:,} guesses about {n_canaries:,} canaries: none may exceed the next"
        )
    return _p_value(n_correct, n_guesses, n_canaries, check_number("epsilon", epsilon, 0.0), delta)


def epsilon_one_run(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    n_guesses: int | Sequence[int],
    delta: float = 0.0,
    confidence: float = 0.95,
    sides: str = "both",
    seed: int = 0,
) -> float:
    """Lower bound of ε from one training run.

    Every canary must have been put in or left out by **its own fair coin**, before training and whatever the others
    did. A split with a fixed number of members, or one that follows the data, voids the bound; nothing else is asked:
    scores may depend on each other.

    Parameters
    ----------
    scores : array-like of float, shape [m]
        One score per canary, higher means more likely a member; computed without a look at the coins.
    membership : array-like of bool, shape [m]
        The coins: True where the canary was in the training data.
    n_guesses : int or sequence of int
        How many canaries are guessed, the others being passed over. Fix it before looking at the result. Several
        numbers share the risk among them (Bonferroni), and the best counts.
    delta : float, default 0
        In [0, 1).
    confidence : float, default 0.95
        The bound exceeds the true ε in at most a share 1 − confidence of audits.
    sides : {"both", "in", "out"}, default "both"
        "both": the n_guesses/2 highest scores are guessed IN and the n_guesses/2 lowest OUT. "in" or "out": all
        guesses on one side, for attacks that are sure of members only (or of non-members only).
    seed : int, default 0
        Of the order among equal scores.

    Returns
    -------
    float
        The largest ε, from below, whose p-value lies under 1 − confidence; 0 if none.

    Raises
    ------
    InputError
        See `check_scores`; also if n_guesses is below 1, above m, odd where both sides are guessed, or empty, if delta
        lies outside [0, 1), confidence outside (0, 1), or sides is unknown.

    Notes
    -----
    Equal scores are ordered at random, never by their position, which may tell members from non-members. Where one
    score would be guessed both IN and OUT, such guesses cancel in pairs and count as wrong, so constant scores give 0.

    References
    ----------
    Steinke, Nasr and Jagielski, NeurIPS 2023 (arXiv 2305.08846), Algorithm 1 and Corollary 5.4. A maximum over guess
    counts without correction rejects a true ε = 0 in half of all audits.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> membership = generator.random(1000) < 0.5
    >>> scores = generator.normal(size=1000) + 2 * membership
    >>> round(epsilon_one_run(scores, membership, n_guesses=200), 2)
    4.19
    >>> round(epsilon_one_run(scores, membership, n_guesses=[100, 200, 400]), 2)
    3.88
    """
    delta = check_delta(delta)
    level = 1.0 - check_confidence(confidence)
    tally = correct_guesses(scores, membership, n_guesses=n_guesses, sides=sides, seed=seed)
    n_canaries = len(np.asarray(scores))
    return max(
        _largest_rejected(n_correct, guessed, n_canaries, delta, level / len(tally)) for guessed, n_correct in tally
    )


def correct_guesses(
    scores: ArrayLike, membership: ArrayLike, *, n_guesses: int | Sequence[int], sides: str = "both", seed: int = 0
) -> list[tuple[int, int]]:
    """How many guesses of a one-run audit are right, for each number of guesses.

    Parameters
    ----------
    scores, membership, n_guesses, sides, seed
        As in `epsilon_one_run`.

    Returns
    -------
    list of (int, int)
        Number of guesses and of correct ones; repeated numbers of guesses once, ascending.

    Raises
    ------
    InputError
        As in `epsilon_one_run`.

    Examples
    --------
    >>> correct_guesses([4.0, 3.0, 2.0, 1.0], [True, False, True, False], n_guesses=[2, 4])
    [(2, 2), (4, 2)]
    >>> correct_guesses([1.0, 1.0, 1.0, 1.0], [True, False, True, False], n_guesses=2)
    [(2, 0)]
    """
    scores, membership = check_scores(scores, membership)
    check_choice("sides", sides, ("both", "in", "out"))
    counts = _guess_counts(n_guesses, len(scores), paired=sides == "both")
    generator = np.random.default_rng(check_seed(seed, at_most=LARGEST_SEED))
    shuffled = generator.permutation(len(scores))
    order = shuffled[np.argsort(scores[shuffled], kind="stable")]
    ordered, truth = scores[order], membership[order]
    if ordered[0] == ordered[-1]:  # nothing to guess by
        return [(count, 0) for count in counts]
    tally = []
    for count in counts:
        if sides == "in":
            right = np.count_nonzero(truth[-count:])
        elif sides == "out":
            right = np.count_nonzero(~truth[:count])
        else:
            kept = count // 2 - _guessed_both_ways(ordered, count // 2)
            right = np.count_nonzero(truth[len(truth) - kept :]) + np.count_nonzero(~truth[:kept])
        tally.append((count, int(right)))
    return tally


def _guessed_both_ways(ordered: NDArray[np.float64], half: int) -> int:
    """How many of the half lowest and of the half highest share one score, pairwise."""
    last_out, first_in = ordered[half - 1], ordered[len(ordered) - half]
    if last_out != first_in:
        return 0
    out = half - int(np.searchsorted(ordered, last_out, side="left"))
    inside = int(np.searchsorted(ordered, last_out, side="right")) - (len(ordered) - half)
    return min(out, inside)


def _guess_counts(n_guesses: int | Sequence[int], n_canaries: int, *, paired: bool) -> list[int]:
    listed = plain_array("n_guesses", n_guesses).reshape(-1).tolist()
    counts = sorted({check_whole("n_guesses", count, at_least=1) for count in listed})
    if not counts:
        raise InputError("n_guesses is empty: pass at least one number of guesses")
    if counts[-1] > n_canaries:
        raise InputError(f"n_guesses is {counts[-1]:,} for {n_canaries:,} canaries: pass at most one guess per canary")
    odd = [count for count in counts if paired and count % 2]
    if odd:
        raise InputError(f"n_guesses is {odd[0]:,}: pass an even number, half guessed IN and half OUT")
    return counts


def _p_value(n_correct: int, n_guesses: int, n_canaries: int, epsilon: float, delta: float) -> float:
    if n_correct == 0:
        return 1.0
    q = 1.0 / (1.0 + np.exp(-epsilon))
    # P[Bin(r, q) ≥ v] as an incomplete Beta function: exact far into the tail.
    tail = float(betainc(n_correct, n_guesses - n_correct + 1, q))
    if delta == 0.0:
        return tail
    # By the number of wrong guesses, whose probability keeps its digits however large ε is.
    n_wrong = np.arange(n_guesses - n_correct + 1, n_guesses + 1)
    gain = np.max(np.cumsum(binom.pmf(n_wrong, n_guesses, expit(-epsilon))) / np.arange(1, n_correct + 1))
    return min(1.0, tail + 2 * n_canaries * delta * float(gain))


def _largest_rejected(n_correct: int, n_guesses: int, n_canaries: int, delta: float, level: float) -> float:
    if _p_value(n_correct, n_guesses, n_canaries, 0.0, delta) >= level:
        return 0.0
    # δ only adds to the p-value, so the bound at δ = 0, which is the Clopper-Pearson limit of q, lies above.
    q = float(beta.ppf(level, n_correct, n_guesses - n_correct + 1))
    return last_holding(
        lambda epsilon: _p_value(n_correct, n_guesses, n_canaries, epsilon, delta) < level,
        high=float(logit(q)) + 1e-9,
        absolute=1e-9,
        relative=1e-9,
    )
