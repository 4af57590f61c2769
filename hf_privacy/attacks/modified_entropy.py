"""Modified entropy: uncertainty that knows the true class."""

from __future__ import annotations

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import nonnegative_vector


def modified_entropy(modified_entropy: ArrayLike) -> NDArray[float64]:
    """Membership score of the modified-entropy attack: the modified entropy with its sign turned.

    Parameters
    ----------
    modified_entropy : array-like of float, shape [N]
        −(1 − p_y)·log p_y − Σ_{j≠y} p_j·log(1 − p_j) of the target model on each example, in nats, ≥ 0; zero only
        for a certain and right answer.

    Returns
    -------
    float64[N]
        Higher for likelier members, at most 0.

    Raises
    ------
    InputError
        If the values are empty, not one-dimensional, NaN, infinite or negative.

    References
    ----------
    Song and Mittal, "Systematic evaluation of privacy risks of machine learning models", USENIX Security 2021
    (arXiv 2003.10595).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.modified_entropy([0.1, 2.0])
    array([-0.1, -2. ])
    """
    return -nonnegative_vector("modified_entropy", modified_entropy)
