"""Entropy: members are answered with less uncertainty, right or wrong."""

from __future__ import annotations

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import nonnegative_vector


def entropy(entropy: ArrayLike) -> NDArray[float64]:
    """Membership score of the entropy attack: the entropy with its sign turned, Σ_j p_j·log p_j.

    It does not know the true class: an example answered wrongly with certainty scores as high as one answered rightly.
    `modified_entropy` mends that.

    Parameters
    ----------
    entropy : array-like of float, shape [N]
        −Σ_j p_j·log p_j of the target model on each example, in nats, ≥ 0.

    Returns
    -------
    float64[N]
        Higher for likelier members, at most 0.

    Raises
    ------
    InputError
        If the entropy is empty, not one-dimensional, NaN, infinite or negative.

    References
    ----------
    Salem et al., "ML-Leaks", NDSS 2019 (arXiv 1806.01246); Song and Mittal, USENIX Security 2021 (arXiv 2003.10595).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.entropy([0.1, 2.0])
    array([-0.1, -2. ])
    """
    return -nonnegative_vector("entropy", entropy)
