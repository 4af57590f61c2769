"""Whether a perturbed forget set can show forgetting: only who was trained on it may know it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from hf_privacy.errors import InputError
from hf_privacy.forgetting.inputs import zero_one_vector


@dataclass(frozen=True)
class PerturbedSetAcceptance:
    """The figures of :func:`accept_perturbed_set` and what follows from them.

    Attributes
    ----------
    accepted : bool
    reasons : tuple of str
        One sentence for each of the two conditions, met or not.
    n_examples : int
    accuracy_forget, accuracy_perturbed : float
        Of the retain-only classifier, on the forget set and on its perturbed version.
    n_lost, n_gained : int
        Examples it gets right only unperturbed, and only perturbed.
    p_value : float
        Of the exact one-sided McNemar test.
    level, min_drop : float
        What `p_value` must stay below, and what the drop in accuracy must reach.
    accuracy_fitted : float
        On the perturbed set, of the model trained with it.
    min_accuracy_fitted : float
        What `accuracy_fitted` must reach.
    """

    accepted: bool
    reasons: tuple[str, ...]
    n_examples: int
    accuracy_forget: float
    accuracy_perturbed: float
    n_lost: int
    n_gained: int
    p_value: float
    level: float
    min_drop: float
    accuracy_fitted: float
    min_accuracy_fitted: float


def accept_perturbed_set(
    correct_forget: ArrayLike,
    correct_perturbed: ArrayLike,
    correct_fitted: ArrayLike,
    *,
    level: float = 0.05,
    min_drop: float = 0.1,
    min_accuracy_fitted: float = 0.9,
) -> PerturbedSetAcceptance:
    """Accept the set where a retain-only classifier does clearly worse on it and a model trained with it fits it.

    "Clearly worse" is in certainty, by the exact one-sided McNemar test on the same examples before and after: were
    the perturbation to do nothing, an example whose correctness changes would be lost or gained with probability ½
    each; p = P(Bin(n_lost + n_gained, ½) ≥ n_lost). And it is in size: with many examples a drop of no use is certain
    too.

    Parameters
    ----------
    correct_forget, correct_perturbed : array-like of 0/1, shape [N]
        1 where the retain-only classifier is right on a forget example as it is, and as perturbed.
    correct_fitted : array-like of 0/1, shape [N]
        1 where the model trained on the retain set and the perturbed set is right on a perturbed example.
    level : float in (0, 1), default 0.05
        Of the test.
    min_drop : float in [0, 1), default 0.1
        Least drop in the retain-only classifier's accuracy; 0 leaves it to the test.
    min_accuracy_fitted : float in (0, 1], default 0.9

    Returns
    -------
    PerturbedSetAcceptance

    Raises
    ------
    InputError
        For arrays that differ in length or hold anything but 0 and 1, or settings outside their range.

    References
    ----------
    McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 1947; exact
    by the binomial distribution.

    Examples
    --------
    >>> right, wrong = [1] * 20, [0] * 20
    >>> accept_perturbed_set(right, wrong, right).accepted, accept_perturbed_set(right, right, right).accepted
    (True, False)
    """
    check_acceptance_settings(level, min_drop, min_accuracy_fitted)
    before = zero_one_vector("correct_forget", correct_forget)
    after = zero_one_vector("correct_perturbed", correct_perturbed, n_examples=len(before))
    fitted = zero_one_vector("correct_fitted", correct_fitted, n_examples=len(before))
    n_lost, n_gained = int(np.sum(before & ~after)), int(np.sum(after & ~before))
    n_changed = n_lost + n_gained
    p_value = float(binom.sf(n_lost - 1, n_changed, 0.5)) if n_changed else 1.0
    drop = (n_lost - n_gained) / len(before)
    is_worse = p_value < level and drop >= min_drop
    is_fitted = int(fitted.sum()) >= min_accuracy_fitted * len(fitted)

    shares = f"{before.mean():.1%} of the forget set right and {after.mean():.1%} of its perturbed version"
    test = f"one-sided p {p_value:.2g} at level {level:g}, drop {drop:.1%} where {min_drop:.1%} is asked"
    if is_worse:
        worse = f"the retain-only classifier does clearly worse: it gets {shares} ({test})"
    elif before.mean() < min_drop:
        worse = (
            f"the retain-only classifier gets {before.mean():.1%} of the forget set right as it is, so there is "
            "nothing to push it off: forgetting shows on the forget set itself"
        )
    else:
        worse = f"the retain-only classifier does not do clearly worse: it gets {shares} ({test})"
    verb = "fits" if is_fitted else "does not fit"
    fit = (
        f"the model trained with the perturbed set {verb} it: it gets {fitted.mean():.1%} right where "
        f"{min_accuracy_fitted:.1%} is asked"
    )
    return PerturbedSetAcceptance(
        accepted=is_worse and is_fitted,
        reasons=(worse, fit),
        n_examples=len(before),
        accuracy_forget=float(before.mean()),
        accuracy_perturbed=float(after.mean()),
        n_lost=n_lost,
        n_gained=n_gained,
        p_value=p_value,
        level=level,
        min_drop=min_drop,
        accuracy_fitted=float(fitted.mean()),
        min_accuracy_fitted=min_accuracy_fitted,
    )


def check_acceptance_settings(level: float, min_drop: float, min_accuracy_fitted: float) -> None:
    """Refuse settings of :func:`accept_perturbed_set` that are outside their range."""
    if not 0 < level < 1:
        raise InputError(f"level is {level}: pass a probability between 0 and 1")
    if not 0 <= min_drop < 1:
        raise InputError(f"min_drop is {min_drop}: pass a share from 0 to below 1")
    if not 0 < min_accuracy_fitted <= 1:
        raise InputError(f"min_accuracy_fitted is {min_accuracy_fitted}: pass a share above 0 and at most 1")
