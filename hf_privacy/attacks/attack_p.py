"""Attack-P: the loss as a percentile of the population's losses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import nonnegative_vector

# Share of the score that breaks ties: far below one step of any population.
_TIE_BREAK = 1e-9


def attack_p(loss: ArrayLike, population_loss: ArrayLike) -> NDArray[np.float64]:
    """Share of population examples whose loss lies strictly above that of the example.

    On one target this orders examples as LOSS does. What it adds is a scale: 1 − score is the false positive rate of
    calling the example a member.

    Parameters
    ----------
    loss : array-like of float, shape [N]
        Loss of the target model on each example, ≥ 0.
    population_loss : array-like of float, shape [Z]
        Loss of the same model on examples it was not trained on, from the same source.

    Returns
    -------
    float64[N]
        In [0, 1], higher for likelier members. Within 1e-9 of that share; the rest breaks ties between examples that
        lie between the same two population losses by their own. Without it, where the population is the target's
        non-members, each would tie with the members just above it and come out a little below them.

    Raises
    ------
    InputError
        If either is empty, not one-dimensional, NaN, infinite or negative.

    References
    ----------
    Ye et al., "Enhanced membership inference attacks against machine learning models", CCS 2022 (arXiv 2111.09679).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.attack_p([0.1, 1.0, 3.0], population_loss=[0.5, 1.0, 1.5, 2.0]).round(6)
    array([1. , 0.5, 0. ])
    """
    losses = nonnegative_vector("loss", loss)
    population = np.sort(nonnegative_vector("population_loss", population_loss))
    share = 1.0 - np.searchsorted(population, losses, side="right") / len(population)
    with np.errstate(divide="ignore"):  # a loss of 0 is the lowest there is
        tie_break = 0.5 - np.arctan(np.log(np.maximum(losses, 0.0))) / np.pi  # rounding may leave one below 0
    return (1.0 - _TIE_BREAK) * share + _TIE_BREAK * tie_break
