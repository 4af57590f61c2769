"""ReCaLL: how much worse a text becomes to the model behind a few texts it was not trained on."""

from __future__ import annotations

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import loss_ratio


def recall(loss: ArrayLike, prefixed_loss: ArrayLike) -> NDArray[float64]:
    """Loss of a row behind a prefix of non-members as a share of its own loss.

    A context that the model has not seen with it hurts a text known by heart, and helps a text of the same kind.

    Parameters
    ----------
    loss : array-like of float, shape [N]
        Mean loss of the target over each row's scored tokens, in nats, ≥ 0.
    prefixed_loss : array-like of float, shape [N]
        The same of the same tokens behind one and the same prefix of non-members, none of them among the N rows.

    Returns
    -------
    float64[N]
        At least 0, higher for likelier members. Losses below 1e-12 are taken as 1e-12.

    Raises
    ------
    InputError
        If either is empty, not one-dimensional, NaN, infinite or negative, or their lengths differ.

    References
    ----------
    Xie et al., "ReCaLL: membership inference via relative conditional log-likelihoods", EMNLP 2024 (arXiv
    2406.15968).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.recall([0.5, 2.0], prefixed_loss=[1.0, 1.5])
    array([2.  , 0.75])
    """
    return loss_ratio("prefixed_loss", prefixed_loss, "loss", loss)
