"""Min-K %: how surprised the model is by a row's least likely tokens."""

from __future__ import annotations

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import log_probabilities
from hf_privacy.attacks.ragged import mean_of, ragged_rows, smallest


def min_k(log_prob: ArrayLike, offsets: ArrayLike, *, k: float = 0.2) -> NDArray[float64]:
    """Mean log-probability of the least likely tokens of each row.

    A text that was trained on has few tokens that the model finds very unlikely. Of a row of n scored tokens the
    max(1, ⌊k·n⌋) smallest are taken: a row shorter than 1/k keeps its one least likely token.

    Parameters
    ----------
    log_prob : array-like of float, shape [T]
        l_t = log p(x_t | x_<t) of every scored token under the target, in nats, ≤ 0: the rows one after the other.
    offsets : array-like of int, shape [N + 1]
        Where each row starts in ``log_prob``, from 0, and T at the end. No row may be empty.
    k : float, default 0.2
        Share of the tokens, in (0, 1]. 1 gives the mean of all, the LOSS attack.

    Returns
    -------
    float64[N]
        In nats, higher for likelier members.

    Raises
    ------
    InputError
        If a log-probability is NaN, infinite or positive, the offsets do not fit, rows hold no token (how many), or k
        is out of range.

    References
    ----------
    Shi et al., "Detecting pretraining data from large language models", ICLR 2024 (arXiv 2310.16789). Published codes
    take ⌊k·n⌋ without the 1: the mean of nothing, NaN, which mimir drops from its figures.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.min_k([-1.0, -4.0, -0.5, -2.0, -3.0], offsets=[0, 3, 5], k=0.5)
    array([-4., -3.])
    """
    starts, (values,) = ragged_rows(offsets, log_prob=log_probabilities("log_prob", log_prob))
    scores, _ = mean_of(values, smallest(values, starts, k), starts)
    return scores
