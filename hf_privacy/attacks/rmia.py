"""RMIA: how many population examples the target's change in probability dominates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice, check_number
from hf_privacy.arrays import class_labels
from hf_privacy.attacks.reference_rows import References
from hf_privacy.attacks.rmia_inputs import check_references, side_means
from hf_privacy.errors import InputError

_MODES = ("online", "offline")
# A probability that underflowed to zero is taken as the smallest normal number, so that 0/0 is 1 and no NaN.
_SMALLEST = float(np.finfo(np.float64).tiny)
# Share of the score that breaks ties: far below one step of any population.
_TIE_BREAK = 1e-9


def rmia(
    prob: ArrayLike,
    reference_probs: References,
    reference_membership: References,
    population_prob: ArrayLike,
    population_reference_probs: References,
    *,
    mode: Literal["online", "offline"] = "online",
    gamma: float = 1.0,
    a: float | None = None,
    population_membership: References | None = None,
    bins: ArrayLike | None = None,
    population_bins: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Membership score of the robust membership inference attack: Pr_z[r_x / r_z ≥ γ] with r = p(·|θ)/p(·).

    p(·) is how probable an example's true class is to models in general. Online: half the mean over its IN plus half
    the mean over its OUT reference models (their plain mean when they are balanced); a population example with no IN
    reference has the mean of its OUT ones. Offline: ½[(1 + a)·p̄_OUT + 1 − a], for x and z alike. Both are
    means over *all* OUT reference models, not over a larger half of them.

    Parameters
    ----------
    prob : array-like of float, shape [N]
        Probability of the true class under the target model, in [0, 1].
    reference_probs : array-like of float, shape [K, N]
        The same under each reference model: an array, or a list of K arrays, such as one memory-mapped file per
        model. Read in place, a stretch of examples at a time, so what is memory-mapped stays on disk.
    reference_membership : array-like of bool, shape [K, N]
        True where reference model k was trained on example n; also a list of K arrays, as are the two below.
    population_prob : array-like of float, shape [Z]
        Probability of the true class of population examples under the target. None of them may be a member of the
        target: that cannot be seen from here.
    population_reference_probs : array-like of float, shape [K, Z]
    mode : {"online", "offline"}, default "online"
    gamma : float, default 1
        γ > 0; the paper uses 1 and 2.
    a : float, optional
        Offline only, and required there: in [0, 1], how far p̄_OUT stands for p̄_IN. See `tune_rmia_a`.
    population_membership : array-like of bool, shape [K, Z], optional
        True where reference model k was trained on population example z; by default every one is OUT for all.
    bins : array-like of int, shape [N], optional
        Numbers from 0: x is compared with the population examples of its own bin alone, such as those of about its
        length, see `length_bins`. For sequences p(·|θ) is exp(−mean loss), and how far that is from one by chance
        depends on the length. By default with all.
    population_bins : array-like of int, shape [Z], optional
        Given with ``bins``.

    Returns
    -------
    float64[N]
        In [0, 1], higher for likelier members. Within 1e-9 of the share of the population that x dominates; the rest
        breaks ties between examples of equal share by r_x, and depends on no other example.

    Raises
    ------
    InputError
        If shapes disagree, a probability is NaN or outside [0, 1], membership is not boolean, the mode is unknown,
        gamma or a is out of range, a is missing offline or given online, an example has no reference model on a
        side that the mode needs, or its bin holds nothing of the population.

    Notes
    -----
    **Null**: every x is compared with one and the same population, so the scores order examples as r_x does, for every
    γ, and a target that knows nothing of its members has an AUC of one half. That holds where the population is taken
    from the examples themselves, such as the target's non-members when none was set aside. The paper leaves x out of
    its own comparison; were that done for the examples of such a population, these would be compared with one fewer
    than the others, and told from them by it: AUC .626 at γ = 0.5 and .412 at γ = 2 without any leakage. With ``bins``
    it holds where the population is not among the examples: of m in a bin, one that is compared with itself too has
    1/(2m) more on average.

    References
    ----------
    Zarifzadeh et al., "Low-cost high-power membership inference attacks", ICML 2024 (arXiv 2312.03262). Ours
    sorts r_x and r_z, O(N log N + Z log Z), instead of filling an N × Z table.

    Examples
    --------
    >>> references = [[0.9, 0.2], [0.3, 0.8]]
    >>> membership = [[True, False], [False, True]]
    >>> population_references = [[0.5, 0.4], [0.3, 0.6]]
    >>> rmia([0.9, 0.3], references, membership, [0.4, 0.6], population_references).round(6)
    array([1., 0.])
    >>> rmia([0.9, 0.3], references, membership, [0.4, 0.6], population_references, mode="offline", a=0.3).round(6)
    array([1., 0.])
    """
    check_choice("mode", mode, _MODES)
    gamma = check_number("gamma", gamma, 0.0, low_open=True, such_as="1 or 2")
    if mode == "online" and a is not None:
        raise InputError(f"a is {a!r} and mode 'online': a belongs to mode='offline', leave it out")
    if mode == "offline" and a is None:
        raise InputError(
            "a is missing and mode='offline' needs it: find it with tune_rmia_a, or pass a number in [0, 1]"
        )
    if a is not None:
        a = check_number("a", a, 0.0, 1.0)
    target, references, membership = check_references("", prob, reference_probs, reference_membership)
    population, population_references, in_population = check_references(
        "population_", population_prob, population_reference_probs, population_membership
    )
    if len(references) != len(population_references):
        raise InputError(
            f"population_reference_probs has {len(population_references)} rows and reference_probs {len(references)}: "
            "pass the same reference models in both"
        )
    ratio = likelihood_ratio(target, _mean_probability("reference_probs", references, membership, a, both=True))
    population_ratio = likelihood_ratio(
        population,
        _mean_probability("population_reference_probs", population_references, in_population, a, both=False),
    )
    if bins is None and population_bins is None:
        return dominance(ratio, population_ratio, gamma)
    scores = np.empty(len(ratio))
    for ours, theirs in _bin_members(bins, population_bins, len(ratio), len(population_ratio)):
        scores[ours] = dominance(ratio[ours], population_ratio[theirs], gamma)
    return scores


def dominance(ratio: NDArray[np.float64], population_ratio: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Share of z with r_x / r_z ≥ γ, from r_x [N] and r_z [Z]; it never falls as r_x rises.

    Examples
    --------
    >>> dominance(np.array([1.5, 0.5]), np.array([1.5, 2.0, 1.0]), 1.0).round(6)
    array([0.666667, 0.      ])
    """
    threshold = ratio / gamma
    # Looked up in rising order, each search starts where the last one ended: ten times faster than in any order.
    order = np.argsort(threshold)
    dominated = np.empty(len(threshold), dtype=np.int64)
    dominated[order] = np.searchsorted(np.sort(population_ratio), threshold[order], side="right")
    # A smooth function of r_x alone: the score of an example must not depend on which others are scored with it.
    tie_break = 0.5 + np.arctan(np.log(ratio)) / np.pi
    return (1.0 - _TIE_BREAK) * (dominated / len(population_ratio)) + _TIE_BREAK * tie_break


def offline_probability(out_mean: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """½[(1 + a)·p̄_OUT + 1 − a]: p(·) with a linear guess of what IN reference models would add.

    Examples
    --------
    >>> offline_probability(np.array([0.0, 1.0]), 0.5)
    array([0.25, 1.  ])
    """
    return 0.5 * ((1.0 + a) * out_mean + 1.0 - a)


def likelihood_ratio(prob: NDArray[np.float64], mean_prob: NDArray[np.float64]) -> NDArray[np.float64]:
    """p(·|θ)/p(·), where a probability that underflowed is taken as the smallest normal number: 0/0 is 1.

    Examples
    --------
    >>> likelihood_ratio(np.array([0.0, 0.5]), np.array([0.0, 0.25]))
    array([1., 2.])
    """
    return np.maximum(prob, _SMALLEST) / np.maximum(mean_prob, _SMALLEST)


def _mean_probability(
    name: str, references: list[NDArray[Any]], membership: list[NDArray[np.bool_]], a: float | None, *, both: bool
) -> NDArray[np.float64]:
    """p(·) of every example, offline where there is an a; online, ``both`` asks for an IN reference model too."""
    in_mean, out_mean, n_in = side_means(name, references, membership)
    role = "examples" if both else "population examples"
    never_out = int(np.sum(n_in == len(references)))
    if never_out:
        raise InputError(
            f"{never_out:,} of {len(n_in):,} {role} are IN for all {len(references)} reference models: "
            "leave them out, or train reference models without them"
        )
    if a is not None:
        return offline_probability(out_mean, a)
    never_in = int(np.sum(n_in == 0))
    if both and never_in:
        raise InputError(
            f"{never_in:,} of {len(n_in):,} {role} are OUT for all {len(references)} reference models: "
            "use mode='offline', or leave them out"
        )
    return np.where(n_in > 0, 0.5 * (in_mean + out_mean), out_mean)


def _bin_members(
    bins: ArrayLike | None, population_bins: ArrayLike | None, n_examples: int, n_population: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Which examples and which of the population are in each bin that holds any example."""
    if bins is None or population_bins is None:
        missing, given = ("bins", "population_bins") if bins is None else ("population_bins", "bins")
        raise InputError(f"{missing} is missing and {given} given: pass both, or neither")
    ours = class_labels("bins", bins, n_examples=n_examples)
    theirs = class_labels("population_bins", population_bins, n_examples=n_population)
    alone = ~np.isin(ours, theirs)
    if alone.any():
        raise InputError(
            f"bins put {int(alone.sum()):,} of {n_examples:,} examples where there is no population example: "
            "cut bins that the population fills, with length_bins"
        )
    for number in np.unique(ours):
        yield ours == number, theirs == number
