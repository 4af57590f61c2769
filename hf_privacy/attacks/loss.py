"""LOSS: members have a lower loss."""

from __future__ import annotations

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import nonnegative_vector


def loss(loss: ArrayLike) -> NDArray[float64]:
    """Membership score of the LOSS attack: the loss with its sign turned, log p_y for a cross-entropy.

    Parameters
    ----------
    loss : array-like of float, shape [N]
        Loss of the target model on each example, in nats, ≥ 0.

    Returns
    -------
    float64[N]
        Higher for likelier members, at most 0.

    Raises
    ------
    InputError
        If the loss is empty, not one-dimensional, NaN, infinite or negative.

    References
    ----------
    Yeom et al., "Privacy risk in machine learning", CSF 2018 (arXiv 1709.01604).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.loss([0.1, 2.0])
    array([-0.1, -2. ])
    """
    return -nonnegative_vector("loss", loss)
