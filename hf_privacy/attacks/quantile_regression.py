"""Quantile regression (QMIA): the signal against what non-members with such features would show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from hf_privacy.arguments import check_choice, check_number, check_seed
from hf_privacy.arrays import finite_vector
from hf_privacy.attacks.feature_inputs import feature_matrix
from hf_privacy.errors import InputError

_ESTIMATORS = ("gradient_boosting", "linear")
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_SMALLEST_CALIBRATION = 20
_SMALLEST_PART = 5
# One, but for the rounding of 1 − 0.9.
_ONE_OBSERVATION = 1.0 - 1e-9
# Share of the score that breaks ties: far below one step of any calibration set.
_TIE_BREAK = 1e-9
# Smallest tail of an example, as a share of the spread over all: equal quantiles must not make it infinitely steep.
_NARROWEST_TAIL = 1e-3


def quantile_regression(
    hinge: ArrayLike,
    features: ArrayLike,
    calibration_hinge: ArrayLike,
    calibration_features: ArrayLike,
    *,
    quantiles: Sequence[float] | None = None,
    estimator: Literal["gradient_boosting", "linear"] = "gradient_boosting",
    holdout: float = 0.25,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Share of non-members, difficulty taken out by features, that the example's hinge surpasses. No reference models.

    Quantiles of the hinge given the features are fitted by pinball loss on non-members. An example's hinge is read off
    its own quantiles as a standard normal score (straight lines between them, the outermost ones going on as a normal
    distribution's would). On held-out non-members the same scores tell how often a non-member reaches as high.

    So 1 − score is a false positive rate: "member where score ≥ 1 − α" calls a non-member of the same source a member
    with probability at most α, however badly the regression fits. A good fit adds power.

    Parameters
    ----------
    hinge : array-like of float, shape [N]
        logit_y − max_{j≠y} logit_j of the target model, higher for likelier members (the signal "margin").
    features : array-like of float, shape [N, D]
        What the regression sees of each example: the target's own features, a public model's, or the inputs.
    calibration_hinge : array-like of float, shape [M]
        The same signal of the target on M ≥ 20 **non-members** of the same source, disjoint from the N examples: that
        cannot be seen from here.
    calibration_features : array-like of float, shape [M, D]
    quantiles : sequence of float, optional
        Levels to fit, at least two, rising, in (0, 1). By default those of 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99 with
        at least one expected observation beyond them.
    estimator : {"gradient_boosting", "linear"}, default "gradient_boosting"
        scikit-learn's HistGradientBoostingRegressor (50 trees of up to 8 leaves, each large enough to hold two
        observations beyond the quantile; learning rate 0.2) or QuantileRegressor (L1 penalty 1e-3; slow beyond some
        thousand calibration examples). Both on features standardised over the calibration examples.
    holdout : float, default 0.25
        Share of the calibration examples, in (0, 1), kept from the fit to count the false positives on.
    seed : int, default 0
        Of the choice of the held-out ones and of the fit.

    Returns
    -------
    float64[N]
        In [0, 1], higher for likelier members. Within 1e-9 of the number of held-out non-members below, over one more
        than there are of them; the rest breaks ties by the normal score. It depends on no other of the N examples.

    Raises
    ------
    InputError
        If shapes disagree, a value is NaN or infinite, the calibration set is smaller than 20, holdout leaves fewer
        than 5 of it on either side, a quantile is out of range or has no expected observation beyond it, or an option
        is unknown or out of range.

    References
    ----------
    Bertran et al., "Scalable membership inference attacks via quantile regression", NeurIPS 2023 (arXiv 2307.03694).
    The paper fits networks, by pinball loss or as a normal distribution, and trusts their levels; ours counts on
    held-out non-members, as conformal prediction does. Crossing quantiles are sorted: Chernozhukov, Fernández-Val and
    Galichon, Econometrica 2010.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> features = generator.uniform(1.0, 3.0, (400, 1))
    >>> hinge = generator.normal(features[:, 0], 0.1)
    >>> quantile_regression([1.6, 1.6], [[1.0], [3.0]], hinge, features, estimator="linear").round(2)
    array([0.99, 0.  ])
    """
    check_choice("estimator", estimator, _ESTIMATORS)
    holdout = check_number("holdout", holdout, 0.0, 1.0, low_open=True, high_open=True, such_as="0.25")
    seed = check_seed(seed)
    signal = finite_vector("hinge", hinge)
    inputs = feature_matrix("features", features, len(signal))
    known_signal = finite_vector("calibration_hinge", calibration_hinge)
    known_inputs = feature_matrix("calibration_features", calibration_features, len(known_signal))
    if known_inputs.shape[1] != inputs.shape[1]:
        raise InputError(
            f"calibration_features has {known_inputs.shape[1]} columns and features {inputs.shape[1]}: "
            "pass the same features in both"
        )
    if len(known_signal) < _SMALLEST_CALIBRATION:
        raise InputError(
            f"calibration_hinge has {len(known_signal)} examples: pass at least {_SMALLEST_CALIBRATION} non-members"
        )
    n_held = round(holdout * len(known_signal))
    if min(n_held, len(known_signal) - n_held) < _SMALLEST_PART:
        raise InputError(
            f"holdout is {holdout!r}, {n_held} of {len(known_signal)} calibration examples: leave at least "
            f"{_SMALLEST_PART} on either side"
        )
    shuffled = np.random.default_rng(seed).permutation(len(known_signal))
    held, fitted = shuffled[:n_held], shuffled[n_held:]
    levels = _levels(quantiles, len(fitted))

    models = _fit(estimator, levels, known_inputs[fitted], known_signal[fitted], seed)
    spread = float(known_signal[fitted].std()) or 1.0
    score = _normal_score(signal, _predict(models, inputs), levels, spread)
    held_score = _normal_score(known_signal[held], _predict(models, known_inputs[held]), levels, spread)
    # Of n + 1: the example itself is one of those that may be highest, so the rate holds in finite samples.
    share = np.searchsorted(np.sort(held_score), score, side="left") / (n_held + 1)
    return (1.0 - _TIE_BREAK) * share + _TIE_BREAK * (0.5 + np.arctan(score) / np.pi)


def _levels(quantiles: Sequence[float] | None, n_fitted: int) -> NDArray[np.float64]:
    if quantiles is None:
        levels = np.array(_QUANTILES)
        return levels[n_fitted * np.minimum(levels, 1.0 - levels) >= _ONE_OBSERVATION]
    levels = finite_vector("quantiles", quantiles)
    if len(levels) < 2 or levels.min() <= 0.0 or levels.max() >= 1.0 or np.any(np.diff(levels) <= 0.0):
        raise InputError(f"quantiles are {list(quantiles)}: pass at least two rising levels in (0, 1)")
    beyond = n_fitted * np.minimum(levels, 1.0 - levels)
    if beyond.min() < _ONE_OBSERVATION:
        raise InputError(
            f"quantiles hold {levels[beyond.argmin()]:g}, beyond which {n_fitted:,} calibration examples to fit on "
            "have less than one observation: pass more examples or leave the level out"
        )
    return levels


def _fit(
    estimator: str, levels: NDArray[np.float64], features: NDArray[np.float64], signal: NDArray[np.float64], seed: int
) -> list[Any]:
    """One fitted regression a level."""
    # scikit-learn takes a second to import, which only the attacks that learn should cost.
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import QuantileRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = []
    for level in levels:
        if estimator == "linear":
            regressor = QuantileRegressor(quantile=level, alpha=1e-3, solver="highs")
        else:
            regressor = HistGradientBoostingRegressor(
                loss="quantile",
                quantile=level,
                max_iter=50,
                max_leaf_nodes=8,
                learning_rate=0.2,
                min_samples_leaf=max(20, int(np.ceil(2.0 / min(level, 1.0 - level)))),
                random_state=seed,
            )
        try:
            models.append(make_pipeline(StandardScaler(), regressor).fit(features, signal))
        except (TypeError, ValueError) as error:  # what scikit-learn makes of a solver that found nothing
            raise InputError(
                f"calibration_hinge goes from {signal.min():.3g} to {signal.max():.3g}, and no quantile could be "
                "fitted: its values lie too far apart for float64; clip them"
            ) from error
    return models


def _predict(models: list[Any], features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles [levels, N], sorted where fits made apart cross."""
    return np.sort([model.predict(features) for model in models], axis=0)


def _normal_score(
    signal: NDArray[np.float64], quantiles: NDArray[np.float64], levels: NDArray[np.float64], spread: float
) -> NDArray[np.float64]:
    """Standard normal score of each signal among its own quantiles [levels, N]; rises with the signal throughout."""
    normal = ndtri(levels)
    score = np.full(len(signal), normal[0])
    for step, lower, upper in zip(np.diff(normal), quantiles[:-1], quantiles[1:], strict=True):
        width = upper - lower
        # Two quantiles in one place are a jump there, between two lines.
        inside = np.where(width > 0.0, (signal - lower) / np.where(width > 0.0, width, 1.0), signal > lower)
        score += step * np.clip(inside, 0.0, 1.0)
    # One standard deviation of either tail, as the outer quantiles have it: their distance over their normal scores'.
    scale = (quantiles[-1] - quantiles[0]) / (normal[-1] - normal[0])
    scale = np.maximum(scale, _NARROWEST_TAIL * spread)
    score += np.maximum(signal - quantiles[-1], 0.0) / scale
    return score - np.maximum(quantiles[0] - signal, 0.0) / scale
