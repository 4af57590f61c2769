"""The most that differential privacy allows a model to memorize, and who exceeds it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from hf_privacy.arguments import check_choice, check_number
from hf_privacy.arrays import finite_vector
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_confidence, check_delta


def memorization_bound(epsilon: float, delta: float = 0.0, *, bound: Literal["paper", "tight"] = "paper") -> float:
    """Largest memorization score, in expectation, of training that is (ε, δ)-differentially private.

    Parameters
    ----------
    epsilon : float
        ≥ 0, may be infinite; for adding or removing one example.
    delta : float, default 0
        In [0, 1).
    bound : {"paper", "tight"}, default "paper"
        "paper": 1 − e^−ε, with δ 1 − (1 − δ)e^−ε, from p_in ≤ e^ε p_out + δ alone. "tight": (e^ε − 1 + 2δ)/(e^ε + 1),
        from that and the same of the wrong answers, the largest total variation that (ε, δ) allows; never above the
        other.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    InputError
        If ε is negative or NaN, δ lies outside [0, 1), or the bound is unknown.

    References
    ----------
    Ravikumar et al., "Unveiling privacy, memorization, and input curvature links", ICML 2024 (arXiv 2402.18726);
    tight: Kairouz, Oh and Viswanath, "The composition theorem for differential privacy", ICML 2015 (arXiv 1311.0776).

    Examples
    --------
    >>> round(memorization_bound(1.0), 3), round(memorization_bound(1.0, bound="tight"), 3)
    (0.632, 0.462)
    >>> memorization_bound(float("inf"))
    1.0
    """
    epsilon = check_number("epsilon", epsilon, 0.0, infinite=True)
    delta = check_delta(delta)
    check_choice("bound", bound, ("paper", "tight"))
    kept = float(np.exp(-epsilon))
    if bound == "paper":
        return 1.0 - (1.0 - delta) * kept
    return (1.0 - kept + 2 * delta * kept) / (1.0 + kept)


def dp_bound_violations(
    scores: ArrayLike,
    standard_errors: ArrayLike,
    epsilon: float,
    delta: float = 0.0,
    *,
    centres: ArrayLike | None = None,
    bound: Literal["paper", "tight"] = "paper",
    confidence: float = 0.95,
) -> dict[str, Any]:
    """How many examples are memorized more than (ε, δ) allows, and how many by more than chance explains.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Of `feldman_zhang`, over models trained with that ε and δ.
    standard_errors : array-like of float, shape [N]
        Of `agresti_caffo`; or of `memorization_standard_error`, with many models (see the notes).
    epsilon, delta
        As in `memorization_bound`.
    centres : array-like of float, shape [N], optional
        Centre of each example's interval, of `agresti_caffo`; by default the score itself.
    bound : {"paper", "tight"}, default "paper"
    confidence : float, default 0.95
        One-sided, of each example by itself.

    Returns
    -------
    dict
        ``bound``; ``n_above``, examples whose score exceeds it; ``n_beyond_noise``, examples with
        centre − z · standard error above it; ``share_above``, ``share_beyond_noise``; ``n_expected_at_most``,
        (1 − confidence) · N, how many chance puts beyond at most, were every example just at the bound;
        ``n_examples``, ``epsilon``, ``delta``, ``confidence``.

    Raises
    ------
    InputError
        If lengths differ, a value is not finite, a standard error is negative, or an option is out of range.

    Notes
    -----
    A count above ``n_expected_at_most`` speaks against ε, but not at a stated level: examples share their models, so
    their errors are not independent.

    With `agresti_caffo`'s centres and standard errors an example just at the bound is put beyond it about as often as
    stated or less: for a confidence of 95 %, at most 5.0 % from ε = 0.5 on and 6.5 % below, by exact enumeration of
    correctness for 2 to 64 models a side. With the plain score and standard error it is far more: up to 18 % for 8
    models a side at ε = 1 and 67 % at ε = 3, since models that all agree have a standard error of 0.

    Examples
    --------
    >>> result = dp_bound_violations([0.9, 0.7, 0.1], [0.1, 0.1, 0.1], 1.0)
    >>> result["n_above"], result["n_beyond_noise"]
    (2, 1)
    """
    limit = memorization_bound(epsilon, delta, bound=bound)
    level = check_confidence(confidence)
    values = finite_vector("scores", scores)
    errors = finite_vector("standard_errors", standard_errors, n_examples=len(values))
    if errors.min() < 0:
        raise InputError(f"standard_errors go down to {errors.min():.4g}: pass values of at least 0")
    middle = values if centres is None else finite_vector("centres", centres, n_examples=len(values))
    n_above = int(np.count_nonzero(values > limit))
    n_beyond = int(np.count_nonzero(middle - norm.isf(1 - level) * errors > limit))
    return {
        "bound": limit,
        "n_above": n_above,
        "n_beyond_noise": n_beyond,
        "share_above": n_above / len(values),
        "share_beyond_noise": n_beyond / len(values),
        "n_expected_at_most": (1 - level) * len(values),
        "n_examples": len(values),
        "epsilon": float(epsilon),
        "delta": float(delta),
        "confidence": level,
    }
