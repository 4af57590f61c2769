"""Forgetting quality of the NeurIPS 2023 competition: how well outputs tell unlearned models from retrained ones."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice, check_number, check_whole
from hf_privacy.forgetting.halves import against_halves
from hf_privacy.forgetting.inputs import model_table
from hf_privacy.statistics.checks import check_delta

Attacks = Literal["one_sided", "two_sided"]

_ENTRIES_AT_ONCE = 200_000  # of a table of models × examples: it stays in the cache


def example_epsilons(
    unlearned: ArrayLike, retrained: ArrayLike, *, attacks: Attacks = "one_sided", delta: float = 0.01
) -> NDArray[np.float64]:
    """ε of each forget example: the most that threshold attacks find between unlearned and retrained outputs.

    An attack calls a model unlearned when its output on the example lies in a region, and has a false positive rate
    among the retrained models and a false negative rate among the unlearned ones. Its ε is
    max{0, ln(1 − δ − FPR) − ln FNR, ln(1 − δ − FNR) − ln FPR}; that of the example is the largest of all regions.

    Parameters
    ----------
    unlearned : array-like of float, shape [K, N], K ≥ 2
        One output per model and example, such as φ; any strictly rising function of it gives the same.
    retrained : array-like of float, shape [L, N], L ≥ 2
    attacks : {"one_sided", "two_sided"}, default "one_sided"
        "one_sided": all outputs on one side of a threshold, either side, every threshold. "two_sided": also all
        between two thresholds, or all outside them, which finds unlearned models that vary more, or less. It takes
        time quadratic in the number of models, and being the best of many more regions its null is far lower.
    delta : float, default 0.01
        In [0, 1).

    Returns
    -------
    float64[N]
        At least 0; never NaN. Infinite where an attack makes no error at all.

    Raises
    ------
    InputError
        If shapes disagree, a value is not finite, there are fewer than 2 models a side, or an option is unknown.

    Notes
    -----
    What to do with zero rates is a convention, that of the competition's released code: FPR = FNR = 0 counts as an
    infinite ε; where just one of them is 0 the attack is discarded, since few models bound no rate from below. An
    argument of a logarithm that is not above 0 bounds nothing (there it is NaN, and two of them an infinite ε). Where
    all attacks are discarded, as for constant outputs, ε is 0; released versions raise ValueError there (the maximum
    of an empty list).

    The released threshold attack calls only the upper side unlearned, ours either. Other attacks (logistic
    regression, cross-validated) are no more than one threshold on one number.

    It is an estimate in hindsight, the best of many thresholds on the very models it is counted on, **no lower
    bound**: see `hf_privacy.statistics.epsilon_clopper_pearson` for one.

    Examples
    --------
    >>> retrained = [[0.0], [1.0], [2.0], [3.0]]
    >>> example_epsilons([[10.0], [11.0]], retrained), example_epsilons([[1.5], [2.5]], retrained, delta=0.0).round(3)
    (array([inf]), array([0.693]))
    """
    ours = model_table("unlearned", unlearned, at_least=2)
    theirs = model_table("retrained", retrained, at_least=2, n_examples=ours.shape[1])
    _check_options(attacks, delta)
    return _epsilons(ours, theirs, attacks, delta)


def forgetting_quality(
    unlearned: ArrayLike,
    retrained: ArrayLike,
    *,
    attacks: Attacks = "one_sided",
    delta: float = 0.01,
    bin_width: float = 0.5,
    n_bins: int = 13,
    n_splits: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """F = mean over forget examples of 2^−⌊ε/0.5⌋, with the value that retraining itself gets.

    Parameters
    ----------
    unlearned : array-like of float, shape [K, N], K ≥ 2
    retrained : array-like of float, shape [L, N], L ≥ 4
    attacks, delta
        As in `example_epsilons`.
    bin_width : float, default 0.5
    n_bins : int, default 13
        Every ε of (n_bins − 1) · bin_width or more, infinity included, counts 2^−(n_bins − 1).
    n_splits : int, default 10
        Random halves of the retrained models for the null.
    seed : int, default 0

    Returns
    -------
    dict
        - ``forgetting_quality``: F of all models, the published figure. In (0, 1];
        - ``null``: F between two halves of the retrained models, a mean over the splits, with ``null_min`` and
          ``null_max``. **It is the value of a perfect unlearner**, far below 1: some threshold separates any two
          finite samples somewhat;
        - ``matched``: F of as many unlearned models as the null's first half, against its second half, so the one to
          compare with ``null``; ``share_of_null`` is matched/null, about 1 for a perfect unlearner;
        - ``median_epsilon`` (counted up to (n_bins − 1) · bin_width), ``share_told_apart`` (examples with an infinite
          ε), ``n_examples``, ``n_unlearned``, ``n_retrained``, ``n_matched`` (unlearned models in ``matched``),
          ``attacks``, ``delta``.

    Raises
    ------
    InputError
        As `example_epsilons`; also with fewer than 4 retrained models, which have no halves.

    Notes
    -----
    F depends on the number of models, and not even in one direction: between two samples of one normal distribution,
    one-sided, it is 0.67 at 2 models a side, 0.24 at 16, 0.30 at 64 and 0.52 at 256. Compare values only at equal
    numbers. The competition used 512 models a side.

    References
    ----------
    Triantafillou et al., "Are we making progress in unlearning? Findings from the first NeurIPS unlearning
    competition", 2024 (arXiv 2406.09073), and its document "Evaluation for the NeurIPS Machine Unlearning
    Competition". The null and the matched value are ours.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> result = forgetting_quality(generator.normal(size=(32, 50)), generator.normal(size=(64, 50)))
    >>> 0.9 < result["share_of_null"] < 1.1, result["null"] < 0.4
    (True, True)
    """
    ours = model_table("unlearned", unlearned, at_least=2)
    theirs = model_table("retrained", retrained, at_least=4, n_examples=ours.shape[1])
    _check_options(attacks, delta)
    width = check_number("bin_width", bin_width, 0.0, low_open=True)
    n_bins = check_whole("n_bins", n_bins, at_least=1)

    def measure(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        return _quality(_epsilons(first, second, attacks, delta), width, n_bins)

    epsilons = _epsilons(ours, theirs, attacks, delta)
    matched, null = against_halves(measure, ours, theirs, n_splits=n_splits, seed=seed)
    return {
        "forgetting_quality": float(_quality(epsilons, width, n_bins)),
        "null": float(null.mean()),
        "null_min": float(null.min()),
        "null_max": float(null.max()),
        "matched": float(matched.mean()),
        "share_of_null": float(matched.mean() / null.mean()),  # never 0: a value is at least 2^−(n_bins − 1)
        "median_epsilon": float(np.median(np.minimum(epsilons, (n_bins - 1) * width))),
        "share_told_apart": float(np.mean(np.isinf(epsilons))),
        "n_examples": ours.shape[1],
        "n_unlearned": len(ours),
        "n_retrained": len(theirs),
        "n_matched": min(len(ours), len(theirs) // 2),
        "attacks": attacks,
        "delta": float(delta),
    }


def _quality(epsilons: NDArray[np.float64], bin_width: float, n_bins: int) -> NDArray[np.float64]:
    bins = np.floor(np.minimum(epsilons, n_bins * bin_width) / bin_width)
    return np.asarray(np.mean(np.exp2(-np.minimum(bins, n_bins - 1))))


def _epsilons(
    unlearned: NDArray[np.float64], retrained: NDArray[np.float64], attacks: str, delta: float
) -> NDArray[np.float64]:
    n_examples = unlearned.shape[1]
    columns = max(1, _ENTRIES_AT_ONCE // (len(unlearned) + len(retrained)))
    table = _region_epsilons(len(unlearned), len(retrained), delta).ravel()
    parts = [
        _largest_epsilon(unlearned[:, start : start + columns], retrained[:, start : start + columns], attacks, table)
        for start in range(0, n_examples, columns)
    ]
    return np.concatenate(parts)


def _region_epsilons(n_unlearned: int, n_retrained: int, delta: float) -> NDArray[np.float64]:
    """ε of a region that holds u of the unlearned and r of the retrained models, called unlearned inside or outside.

    There are few different pairs (u, r), so logarithms are taken once for all examples and thresholds: [K + 1, L + 1].
    """
    inside_u = np.arange(n_unlearned + 1)[:, None] / n_unlearned
    inside_r = np.arange(n_retrained + 1)[None, :] / n_retrained
    outside_u, outside_r = inside_u[::-1], inside_r[:, ::-1]
    return np.maximum(_attack_epsilon(inside_r, outside_u, delta), _attack_epsilon(outside_r, inside_u, delta))


def _attack_epsilon(fpr: NDArray[np.float64], fnr: NDArray[np.float64], delta: float) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        # An argument below 0 is set to 0, whose logarithm of −∞ loses every comparison; −∞ − (−∞) is overwritten.
        epsilon = np.maximum(
            np.log(np.maximum(1 - delta - fpr, 0.0)) - np.log(fnr),
            np.log(np.maximum(1 - delta - fnr, 0.0)) - np.log(fpr),
        )
    epsilon = np.where((fpr == 0) | (fnr == 0), 0.0, epsilon)  # no evidence from one empty cell
    epsilon = np.where((fpr == 0) & (fnr == 0), np.inf, epsilon)
    return np.maximum(epsilon, 0.0)


def _largest_epsilon(
    unlearned: NDArray[np.float64], retrained: NDArray[np.float64], attacks: str, table: NDArray[np.float64]
) -> NDArray[np.float64]:
    values = np.concatenate([unlearned, retrained])
    order = np.argsort(values, axis=0)
    values = np.take_along_axis(values, order, axis=0)
    # One number for both counts below a cut: u · (L + 1) + r, the place in the flat table. Differences of two cuts
    # are the place of the region between them.
    step = np.where(order < len(unlearned), len(retrained) + 1, 1)
    below = np.zeros((len(values) + 1, values.shape[1]), dtype=np.int64)
    np.cumsum(step, axis=0, out=below[1:])
    # A cut between equal values is none: it takes the place of the last real one before it.
    below[1:-1][values[1:] == values[:-1]] = 0
    np.maximum.accumulate(below, axis=0, out=below)
    largest = table[below].max(axis=0)
    if attacks == "two_sided":
        for start in range(1, len(below) - 1):
            np.maximum(largest, table[below[start + 1 :] - below[start]].max(axis=0), out=largest)
    return largest


def _check_options(attacks: str, delta: float) -> None:
    check_choice("attacks", attacks, ("one_sided", "two_sided"))
    check_delta(delta)
