"""Straight lines, in all and in parts of the examples, and the curve that levels off with ε."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t

from hf_privacy.arguments import check_whole
from hf_privacy.arrays import finite_vector, real_array, squarable
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_confidence, check_groups


def linear_fit(x: ArrayLike, y: ArrayLike, *, confidence: float = 0.95) -> dict[str, Any]:
    """Least-squares line y = intercept + slope · x, with Student's t intervals.

    Parameters
    ----------
    x, y : array-like of float, shape [N]
        At least three points, at two or more different x.
    confidence : float, default 0.95

    Returns
    -------
    dict
        ``slope``, ``slope_low``, ``slope_high``; ``intercept`` likewise; ``r_squared``, in [0, 1] (0 where y is
        constant); ``p_value`` of a slope of zero, two-sided; ``residual_std`` (n − 2); ``n_points``, ``confidence``.

    Raises
    ------
    InputError
        If x and y differ in length or are not finite, there are fewer than three points, or all x are equal.

    Notes
    -----
    The intervals take the points to be independent with one spread. Over examples that share their reference models,
    or whose spread changes with x, they are too narrow: `correlation_table` asks less.

    Examples
    --------
    >>> fit = linear_fit([0.0, 1.0, 2.0, 3.0], [1.0, 3.1, 4.9, 7.0])
    >>> [round(fit[key], 2) for key in ("slope", "slope_low", "slope_high", "r_squared")]
    [1.98, 1.8, 2.16, 1.0]
    """
    level = check_confidence(confidence)
    xs = squarable("x", finite_vector("x", x))
    ys = squarable("y", finite_vector("y", y, n_examples=len(xs)))
    n_points = len(xs)
    if n_points < 3:
        raise InputError(f"x has {n_points} points: a line with an interval needs at least 3")
    if xs.max() == xs.min():
        raise InputError(f"x is {xs[0]:g} at all {n_points:,} points: a line needs at least 2 different values")
    x_mean, y_mean = xs.mean(), ys.mean()
    dx, dy = xs - x_mean, ys - y_mean
    x_squares, y_squares = float(dx @ dx), float(dy @ dy)
    slope = float(dx @ dy) / x_squares
    intercept = y_mean - slope * x_mean
    residual_squares = float(np.sum((dy - slope * dx) ** 2))
    residual_variance = residual_squares / (n_points - 2)
    slope_error = np.sqrt(residual_variance / x_squares)
    intercept_error = np.sqrt(residual_variance * (1 / n_points + x_mean**2 / x_squares))
    reach = student_t.isf((1 - level) / 2, n_points - 2)
    constant = bool(ys.max() == ys.min())
    if constant or slope_error == 0.0:  # no residual at all: the slope is what it is, or y does not move
        p_value = 1.0 if constant or slope == 0.0 else 0.0
    else:
        p_value = float(2 * student_t.sf(abs(slope) / slope_error, n_points - 2))
    return {
        "slope": slope,
        "slope_low": float(slope - reach * slope_error),
        "slope_high": float(slope + reach * slope_error),
        "intercept": float(intercept),
        "intercept_low": float(intercept - reach * intercept_error),
        "intercept_high": float(intercept + reach * intercept_error),
        "r_squared": 0.0 if constant else float(np.clip(1 - residual_squares / y_squares, 0.0, 1.0)),
        "p_value": p_value,
        "residual_std": float(np.sqrt(residual_variance)),
        "n_points": n_points,
        "confidence": level,
    }


def subpopulation_fits(
    x: ArrayLike, y: ArrayLike, groups: ArrayLike, *, min_examples: int = 20, confidence: float = 0.95
) -> dict[str, dict[str, Any]]:
    """A line for each group of examples: whether a link holds within classes or bins, or only between them.

    Parameters
    ----------
    x, y : array-like of float, shape [N]
    groups : array-like of int or str, shape [N]
        Such as the class, the bin of memorization, or whether the label was turned.
    min_examples : int, default 20
        Fewest examples of a group to be fitted, at least 3.
    confidence : float, default 0.95

    Returns
    -------
    dict of str to dict
        By group, in sorted order: what `linear_fit` gives; or ``n_points`` and a ``reason`` where a group is too
        small or its x does not differ.

    Raises
    ------
    InputError
        If lengths differ, values are not finite, or an option is out of range.

    Examples
    --------
    >>> fits = subpopulation_fits([0, 1, 2, 0, 1, 2], [0, 1, 2, 5, 4, 3], list("aaabbb"), min_examples=3)
    >>> {group: round(fit["slope"], 2) for group, fit in fits.items()}
    {'a': 1.0, 'b': -1.0}
    """
    check_confidence(confidence)
    min_examples = check_whole("min_examples", min_examples, at_least=3)
    xs = finite_vector("x", x)
    ys = finite_vector("y", y, n_examples=len(xs))
    labels = check_groups(groups, len(xs))
    fits: dict[str, dict[str, Any]] = {}
    for group in np.unique(labels):
        inside = labels == group
        n_points = int(np.count_nonzero(inside))
        if n_points < min_examples:
            fits[str(group)] = {"n_points": n_points, "reason": f"{n_points} examples: fewer than {min_examples}"}
        elif xs[inside].max() == xs[inside].min():
            fits[str(group)] = {"n_points": n_points, "reason": "x does not differ within the group"}
        else:
            fits[str(group)] = linear_fit(xs[inside], ys[inside], confidence=confidence)
    return fits


def saturating_fit(epsilon: ArrayLike, values: ArrayLike, *, confidence: float = 0.95) -> dict[str, Any]:
    """Least-squares a + b(1 − e^−ε): how memorization or curvature levels off as privacy is given up.

    The curve is a straight line in u = 1 − e^−ε, so a and b have a closed form and nothing is searched for.

    Parameters
    ----------
    epsilon : array-like of float, shape [P]
        ε of each run, ≥ 0; infinity for a run without privacy (u = 1).
    values : array-like of float, shape [P]
        What was measured in each run. Several seeds at one ε are several points.
    confidence : float, default 0.95

    Returns
    -------
    dict
        ``a`` (at ε = 0), ``b`` (the rise), ``saturation`` = a + b, ``a_low``, ``a_high``, ``b_low``, ``b_high``;
        ``r_squared``, the share of the variance that the flat alternative, ``flat_mean``, leaves and the curve
        explains; ``p_value`` against that alternative (b = 0, two-sided); ``residual_std`` and ``flat_residual_std``;
        ``n_points``, ``n_epsilons``, ``confidence``.

    Raises
    ------
    InputError
        If an ε is NaN or negative, a value is not finite, lengths differ, or there are fewer than three points or two
        different 1 − e^−ε.

    Notes
    -----
    From ε = 5 on 1 − e^−ε is above 0.993: runs at 5, 10, 30 and ∞ lie on one spot of the curve, and a fit to them and
    ε = 1 compares ε = 1 with the rest. A high R² there is no evidence for this shape against another that rises
    early; the spread of the values at ε ≥ 5 (``residual_std``) is what speaks against it.

    References
    ----------
    Ravikumar, Soufleri, Hashemi and Roy, "Unveiling privacy, memorization, and input curvature links", ICML 2024
    (arXiv 2402.18726), section 5.

    Examples
    --------
    >>> fit = saturating_fit([0.0, 1.0, 3.0, float("inf")], [0.1, 0.1 + 0.4 * 0.632, 0.1 + 0.4 * 0.950, 0.5])
    >>> round(fit["a"], 3), round(fit["b"], 3), round(fit["saturation"], 3)
    (0.1, 0.4, 0.5)
    """
    budgets = real_array("epsilon", epsilon).astype(np.float64, copy=False)
    if budgets.ndim != 1 or budgets.size == 0 or np.isnan(budgets).any() or budgets.min() < 0:
        raise InputError(
            f"epsilon has shape {budgets.shape} or holds NaN or negative values: pass one ε ≥ 0 per run, infinity "
            "without privacy"
        )
    measured = finite_vector("values", values, n_examples=len(budgets))
    share = -np.expm1(-budgets)
    if len(budgets) < 3 or share.max() == share.min():
        raise InputError(
            f"epsilon has {len(budgets)} points at {len(np.unique(share))} different values of 1 − e^−ε: pass at "
            "least 3 points at 2 different ones"
        )
    fit = linear_fit(share, measured, confidence=confidence)
    return {
        "a": fit["intercept"],
        "a_low": fit["intercept_low"],
        "a_high": fit["intercept_high"],
        "b": fit["slope"],
        "b_low": fit["slope_low"],
        "b_high": fit["slope_high"],
        "saturation": fit["intercept"] + fit["slope"],
        "r_squared": fit["r_squared"],
        "p_value": fit["p_value"],
        "flat_mean": float(measured.mean()),
        "residual_std": fit["residual_std"],
        "flat_residual_std": float(measured.std(ddof=1)),
        "n_points": len(budgets),
        "n_epsilons": len(np.unique(budgets)),
        "confidence": fit["confidence"],
    }
