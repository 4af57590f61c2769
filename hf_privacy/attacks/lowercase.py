"""Lowercase: the loss against that of the same text in lower case."""

from __future__ import annotations

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import loss_ratio


def lowercase(loss: ArrayLike, lowercase_loss: ArrayLike) -> NDArray[float64]:
    """Minus the loss as a share of the lowered text's: the case of letters is learnt with a text, not with a language.

    Parameters
    ----------
    loss : array-like of float, shape [N]
        Mean loss of the target over each row's scored tokens, in nats, ≥ 0.
    lowercase_loss : array-like of float, shape [N]
        The same of the row with its scored text in lower case, tokenised anew.

    Returns
    -------
    float64[N]
        At most 0, higher for likelier members. Losses below 1e-12 are taken as 1e-12.

    Raises
    ------
    InputError
        If either is empty, not one-dimensional, NaN, infinite or negative, or their lengths differ.

    References
    ----------
    Carlini et al., "Extracting training data from large language models", USENIX Security 2021 (arXiv 2012.07805).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.lowercase([0.5, 2.0], lowercase_loss=[2.0, 2.0])
    array([-0.25, -1.  ])
    """
    return -loss_ratio("loss", loss, "lowercase_loss", lowercase_loss)
