"""MIA efficacy: the share of the forget set that a membership attack takes for examples never seen."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from hf_privacy.arguments import check_choice
from hf_privacy.arrays import finite_vector
from hf_privacy.statistics import clopper_pearson

# So small that it moves no boundary that the data fix; where a threshold separates the two sides without error it
# keeps the slope of the logistic curve finite.
_RIDGE = 1e-4


def mia_efficacy(
    forget: ArrayLike,
    retain: ArrayLike,
    unseen: ArrayLike,
    *,
    attack: Literal["threshold", "logistic"] = "threshold",
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Share of the forget set judged non-members by an attack fitted on retain (members) against unseen examples.

    The attack is one threshold on one score per example, with both sides weighing one half however many examples
    they hold, so nothing is thrown away to balance them. No forget example takes part in the fit.

    Parameters
    ----------
    forget, retain, unseen : array-like of float, shapes [F], [R], [U]
        Membership scores of the unlearned model, **higher for likelier members**: the probability of the true class,
        −loss, −modified entropy, φ. One value per example that no other example enters. Unseen examples are like the
        forget set (for a forgotten class: of that class) and in neither training set.
    attack : {"threshold", "logistic"}, default "threshold"
        "threshold": the one of largest balanced accuracy. "logistic": where a logistic regression on the score gives
        one half.
    confidence : float, default 0.95

    Returns
    -------
    dict
        ``mia_efficacy`` with its Clopper-Pearson interval ``low``, ``high`` (over the choice of forget examples),
        ``threshold`` (a higher score is a member's), None where no threshold does better than guessing: the attacker
        then tosses a fair coin and the efficacy is one half; ``balanced_accuracy`` of the attack on its own fit set
        (in hindsight); ``n_forget``, ``n_retain``, ``n_unseen``, ``attack``, ``confidence``.

    Raises
    ------
    InputError
        If scores are empty or not finite, the attack is unknown, or confidence lies outside (0, 1).

    Notes
    -----
    Read it beside the value of a **retrained** model: 1 is not the goal, since a part of what was never seen always
    looks like a member's.

    References
    ----------
    Song and Mittal, USENIX Security 2021; as an unlearning measure: Jia et al., "Model sparsity can simplify machine
    unlearning", NeurIPS 2023, and Fan et al., "SalUn", ICLR 2024. Theirs fits an RBF support vector machine on the
    confidence of as many retain as test examples, the first ones; on one feature that too cuts an axis, in one or
    several places. Their released modified entropy overwrites the true-class columns of *all* labels of a batch in
    every row, so that it depends on batch-mates; ours takes per-example values only.

    Examples
    --------
    >>> result = mia_efficacy([0.9, 0.4, 0.3, 0.2], retain=[0.9, 0.8, 0.95], unseen=[0.5, 0.3])
    >>> result["mia_efficacy"], round(result["threshold"], 2)
    (0.75, 0.65)
    """
    scores = finite_vector("forget", forget)
    seen, never = finite_vector("retain", retain), finite_vector("unseen", unseen)
    check_choice("attack", attack, ("threshold", "logistic"))
    threshold = _best_threshold(seen, never) if attack == "threshold" else _logistic_boundary(seen, never)
    if threshold is None:
        n_judged, share, accuracy = len(scores) // 2, 0.5, 0.5
    else:
        n_judged = int(np.count_nonzero(scores <= threshold))
        share = n_judged / len(scores)
        accuracy = float((np.mean(seen > threshold) + np.mean(never <= threshold)) / 2)
    low, high = clopper_pearson(n_judged, len(scores), confidence=confidence)
    if threshold is None and len(scores) % 2:  # half an example more: symmetric about one half, as the coin is
        high = 1.0 - low
    return {
        "mia_efficacy": share,
        "low": low,
        "high": high,
        "threshold": threshold,
        "balanced_accuracy": accuracy,
        "n_forget": len(scores),
        "n_retain": len(seen),
        "n_unseen": len(never),
        "attack": attack,
        "confidence": float(confidence),
    }


def _best_threshold(seen: NDArray[np.float64], never: NDArray[np.float64]) -> float | None:
    values = np.unique(np.concatenate([seen, never]))
    # Below each cut: how many of either side lie at or under it.
    seen_below = np.searchsorted(np.sort(seen), values[:-1], side="right")
    never_below = np.searchsorted(np.sort(never), values[:-1], side="right")
    advantage = never_below * len(seen) - seen_below * len(never)  # in whole numbers, so that equals are equal
    if advantage.size == 0 or advantage.max() <= 0:
        return None
    best = np.flatnonzero(advantage == advantage.max())
    cut = int(best[len(best) // 2])
    # Halves are added, since a sum of the two may overflow; rounding up to the upper value would move it below.
    middle = values[cut] / 2 + values[cut + 1] / 2
    return float(middle if middle < values[cut + 1] else values[cut])


def _logistic_boundary(seen: NDArray[np.float64], never: NDArray[np.float64]) -> float | None:
    values = np.concatenate([seen, never])
    low, reach = values.min(), np.ptp(values)
    if reach == 0:
        return None
    x = (values - low) / reach  # first to [0, 1], where no square can overflow or vanish
    centre, scale = x.mean(), x.std()
    x = (x - centre) / scale
    sign = np.repeat([1.0, -1.0], [len(seen), len(never)])
    weight = np.repeat([0.5 / len(seen), 0.5 / len(never)], [len(seen), len(never)])

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope, intercept = parameters
        logit = sign * (slope * x + intercept)
        pull = -weight * sign * expit(-logit)
        value = np.sum(weight * np.logaddexp(0.0, -logit)) + _RIDGE * slope**2
        return float(value), np.array([pull @ x + 2 * _RIDGE * slope, pull.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)])
    slope, intercept = found.x
    if slope < 1e-6:  # higher scores are no likelier members: nothing an attacker could follow
        return None
    return float(low + reach * (centre - scale * intercept / slope))
