"""SURP: tokens that are unlikely although the model was sure of itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_number
from hf_privacy.attacks.inputs import log_probabilities
from hf_privacy.attacks.ragged import mean_of, ragged_rows, smallest


def surp(
    log_prob: ArrayLike, mean: ArrayLike, offsets: ArrayLike, *, k: float = 0.4, max_entropy: float = 2.0
) -> NDArray[np.float64]:
    """Mean log-probability of each row's surprising tokens: among its least likely, and where the entropy was low.

    Parameters
    ----------
    log_prob : array-like of float, shape [T]
        l_t of every scored token under the target, in nats, ≤ 0: the rows one after the other.
    mean : array-like of float, shape [T]
        Σ_v p_v log p_v at its place, minus the entropy, in nats, ≤ 0.
    offsets : array-like of int, shape [N + 1]
        Where each row starts, from 0, and T at the end. No row may be empty.
    k : float, default 0.4
        The max(1, ⌊k·n⌋) least likely of n tokens are candidates; in (0, 1].
    max_entropy : float, default 2
        In nats, > 0: a candidate counts where the entropy is below it. A row without one has its `min_k` of the same
        k, so that every row is scored on one scale.

    Returns
    -------
    float64[N]
        In nats, higher for likelier members.

    Raises
    ------
    InputError
        If an array is NaN, infinite, positive or of another length, the offsets do not fit, rows hold no token (how
        many), or k or max_entropy is out of range.

    References
    ----------
    Zhang and Wu, "Adaptive pre-training data detection for large language models via surprising tokens", 2024 (arXiv
    2407.21248). The code of arXiv 2406.17975 gives −100 to a row without such a token, below every non-member.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.surp([-1.0, -4.0, -3.0, -5.0], [-1.0, -6.0, -0.5, -7.0], offsets=[0, 3, 4], k=0.7)
    array([-3., -5.])
    """
    max_entropy = check_number("max_entropy", max_entropy, 0.0, low_open=True, such_as="2")
    starts, (values, expected) = ragged_rows(
        offsets, log_prob=log_probabilities("log_prob", log_prob), mean=log_probabilities("mean", mean)
    )
    candidates = smallest(values, starts, k)
    surprising, n_surprising = mean_of(values, candidates & (-expected < max_entropy), starts)
    otherwise, _ = mean_of(values, candidates, starts)
    return np.where(n_surprising > 0, surprising, otherwise)
