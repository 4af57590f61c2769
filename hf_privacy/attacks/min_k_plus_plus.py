"""Min-K %++: the least likely tokens, measured against what the model expected at each place."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import log_probabilities, nonnegative_vector
from hf_privacy.attacks.ragged import mean_of, ragged_rows, smallest

# Below it a model is as good as certain of its next token, and what divides by it is rounding.
_SMALLEST_VARIANCE = 1e-6


def min_k_plus_plus(
    log_prob: ArrayLike, mean: ArrayLike, variance: ArrayLike, offsets: ArrayLike, *, k: float = 0.2
) -> NDArray[np.float64]:
    """Mean of the smallest standard scores (l_t − μ_t)/σ_t of each row's tokens.

    μ_t and σ_t² are mean and variance of log p(v | x_<t) over the vocabulary, weighted by the model's **own**
    probabilities: a token stands out where the model did not expect to be surprised. Of a row of n scored tokens the
    max(1, ⌊k·n⌋) smallest scores are taken.

    Parameters
    ----------
    log_prob : array-like of float, shape [T]
        l_t of every scored token under the target, in nats, ≤ 0: the rows one after the other.
    mean : array-like of float, shape [T]
        μ_t = Σ_v p_v log p_v, minus the entropy, in nats, ≤ 0.
    variance : array-like of float, shape [T]
        σ_t² = Σ_v p_v (log p_v)² − μ_t², ≥ 0; taken as 1e-6 where smaller.
    offsets : array-like of int, shape [N + 1]
        Where each row starts, from 0, and T at the end. No row may be empty.
    k : float, default 0.2
        Share of the tokens, in (0, 1].

    Returns
    -------
    float64[N]
        In standard deviations, higher for likelier members.

    Raises
    ------
    InputError
        If an array is NaN, infinite, of the wrong sign or of another length, the offsets do not fit, rows hold no
        token (how many), or k is out of range.

    References
    ----------
    Zhang et al., "Min-K%++: improved baseline for detecting pre-training data from large language models", ICLR 2025
    (arXiv 2404.02936). The code of arXiv 2406.17975 takes mean and deviation over the vocabulary unweighted, which is
    another score.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.min_k_plus_plus([-1.0, -4.0], [-2.0, -3.0], [4.0, 0.25], offsets=[0, 1, 2])
    array([ 0.5, -2. ])
    """
    starts, (values, expected, squares) = ragged_rows(
        offsets,
        log_prob=log_probabilities("log_prob", log_prob),
        mean=log_probabilities("mean", mean),
        variance=nonnegative_vector("variance", variance),
    )
    standard = (values - expected) / np.sqrt(np.maximum(squares, _SMALLEST_VARIANCE))
    scores, _ = mean_of(standard, smallest(standard, starts, k), starts)
    return scores
