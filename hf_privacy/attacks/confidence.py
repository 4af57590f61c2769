"""Confidence: members have a more probable true class."""

from __future__ import annotations

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite_vector
from hf_privacy.attacks.inputs import probabilities


def confidence(probability: ArrayLike) -> NDArray[float64]:
    """Membership score of the confidence attack: the probability of the true class.

    It orders examples as LOSS does where both are exact. A probability rounds to 1 long before the loss rounds to 0,
    so the most confident examples may tie here; LOSS keeps them apart.

    Parameters
    ----------
    probability : array-like of float, shape [N]
        Probability p_y of the true class under the target model, in [0, 1].

    Returns
    -------
    float64[N]
        In [0, 1], higher for likelier members.

    Raises
    ------
    InputError
        If the probability is empty, not one-dimensional, NaN, infinite or outside [0, 1].

    References
    ----------
    Salem et al., "ML-Leaks: model and data independent membership inference attacks and defenses on machine learning
    models", NDSS 2019 (arXiv 1806.01246), adversary 3, which takes the largest probability; the true class's, as
    here: Song and Mittal, USENIX Security 2021 (arXiv 2003.10595).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.confidence([0.9, 0.25])
    array([0.9 , 0.25])
    """
    return probabilities("probability", finite_vector("probability", probability)).copy()
