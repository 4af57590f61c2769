"""TOFU's two headline figures: forget quality, with the noise of retraining itself, and utility."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ks_2samp

from hf_privacy.arrays import finite_array
from hf_privacy.errors import InputError
from hf_privacy.forgetting.inputs import model_table


def tofu_forget_quality(unlearned: ArrayLike, retrained: ArrayLike) -> dict[str, Any]:
    """Whether truth ratios on the forget set are distributed as a retrained model's: Kolmogorov–Smirnov, two-sided.

    Parameters
    ----------
    unlearned : array-like of float, shape [N] or [K, N]
        `hf_privacy.forgetting.truth_ratio` of one unlearned model, or of K of different seeds, on each forget example.
    retrained : array-like of float, shape [L, N], L ≥ 3
        The same of models trained without the forget set, from different seeds.

    Returns
    -------
    dict
        - ``statistic``: largest distance of the two distribution functions, in [0, 1], mean over all pairs of an
          unlearned and a retrained model, with ``statistic_min`` and ``statistic_max``;
        - ``p_value``: the published figure, exact: median over the pairs. ``floor`` is the least it can be with N
          examples: models whose values do not overlap all get it, however far apart they are;
        - ``null``, ``null_min``, ``null_max``, ``null_p_value``: the same between pairs of retrained models: **what a
          perfect unlearner gets**;
        - ``beyond_null``: share of pairs with an unlearned model whose statistic is above the largest of the null;
        - ``n_examples``, ``n_unlearned``, ``n_retrained``.

    Raises
    ------
    InputError
        If shapes disagree, a value is not finite, two retrained models are one, or there are fewer than 3: two have
        one distance, which says nothing of how far it varies.

    Notes
    -----
    A p-value above 0.05 is no proof of forgetting: with N = 40 a shift of 0.3 standard deviations is seen in 17 % of
    draws. Nor is it a scale: it falls with N where nothing else changes. Compare the statistic with the null's.

    References
    ----------
    Maini et al., "TOFU: a task of fictitious unlearning for LLMs", COLM 2024 (arXiv 2401.06121), where one retrained
    model judges. The null is ours.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> retrained = generator.lognormal(size=(3, 40))
    >>> found = tofu_forget_quality(retrained.max() + generator.lognormal(size=40), retrained)
    >>> found["statistic"], f"{found['p_value']:.2e}", found["beyond_null"], found["null"] < 0.3
    (1.0, '1.86e-23', 1.0, True)
    """
    theirs = model_table("retrained", retrained, at_least=3)
    if len(np.unique(theirs, axis=0)) < len(theirs):
        raise InputError(
            "retrained holds the same model twice, and a model is no distance from itself: pass models of different "
            "seeds"
        )
    one = finite_array("unlearned", unlearned)
    ours = model_table("unlearned", one[None] if one.ndim == 1 else one, at_least=1, n_examples=theirs.shape[1])
    found = _compare([(first, second) for first in ours for second in theirs])
    null = _compare(list(combinations(theirs, 2)))
    n = theirs.shape[1]
    return {
        "statistic": float(found[0].mean()),
        "statistic_min": float(found[0].min()),
        "statistic_max": float(found[0].max()),
        "p_value": float(np.median(found[1])),
        "floor": float(ks_2samp(np.zeros(n), np.ones(n)).pvalue),
        "null": float(null[0].mean()),
        "null_min": float(null[0].min()),
        "null_max": float(null[0].max()),
        "null_p_value": float(np.median(null[1])),
        "beyond_null": float(np.mean(found[0] > null[0].max())),
        "n_examples": n,
        "n_unlearned": len(ours),
        "n_retrained": len(theirs),
    }


def tofu_utility(probability: ArrayLike, rouge: ArrayLike, truth_ratio: ArrayLike) -> float:
    """Harmonic mean of nine figures: three of what a model is to keep, each of three sets.

    Parameters
    ----------
    probability, rouge, truth_ratio : array-like of float, shape [3]
        Of the retained rows, the real authors and the world facts: mean `answer_probability` (of the latter two beside
        the wrong answers), mean `rouge_l_recall`, mean `truth_ratio_scores` of part "kept". Each in [0, 1].

    Returns
    -------
    float
        In [0, 1]; 0 as soon as one of the nine is.

    Raises
    ------
    InputError
        If there are not three of each, or one is outside [0, 1].

    References
    ----------
    Maini et al., "TOFU: a task of fictitious unlearning for LLMs", COLM 2024 (arXiv 2401.06121).

    Examples
    --------
    >>> round(tofu_utility([0.9, 0.5, 0.5], [0.8, 0.6, 0.6], [0.5, 0.4, 0.4]), 3)
    0.539
    """
    named = {"probability": probability, "rouge": rouge, "truth_ratio": truth_ratio}
    figures = np.concatenate([_three(name, values) for name, values in named.items()])
    if figures.min() == 0.0:
        return 0.0
    smallest = figures.min()  # so that no reciprocal overflows
    return float(len(figures) * smallest / np.sum(smallest / figures))


def _three(name: str, values: ArrayLike) -> NDArray[np.float64]:
    figures = finite_array(name, values)
    if figures.shape != (3,):
        raise InputError(
            f"{name} has shape {figures.shape}: pass three figures, of retained rows, real authors and world facts"
        )
    if figures.min() < 0 or figures.max() > 1:
        raise InputError(f"{name} goes from {figures.min():.4g} to {figures.max():.4g}: pass shares in [0, 1]")
    return figures


def _compare(pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> tuple[NDArray[np.float64], list[float]]:
    with warnings.catch_warnings():  # at a distance of 1/n the exact form may fail; p is 1 in either
        warnings.simplefilter("ignore", RuntimeWarning)
        found = [ks_2samp(first, second) for first, second in pairs]
    return np.array([one.statistic for one in found]), [float(one.pvalue) for one in found]
