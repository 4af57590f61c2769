"""Attack-P: the loss as a percentile of the population's losses."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import nonnegative_vector


def attack_p(loss: ArrayLike, population_loss: ArrayLike) -> NDArray[np.float64]:
    """Share of population examples whose loss lies strictly above that of the example.

    On one target this orders examples as LOSS does, but in steps of 1/Z: examples between the same two population
    losses tie. What it adds is a scale: 1 − score is the false positive rate of calling the example a member.

    Parameters
    ----------
    loss : array-like of float, shape [N]
        Loss of the target model on each example, ≥ 0.
    population_loss : array-like of float, shape [Z]
        Loss of the same model on examples it was not trained on, from the same source, disjoint from the N.

    Returns
    -------
    float64[N]
        In [0, 1], higher for likelier members.

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
    >>> attacks.attack_p([0.1, 1.0, 3.0], population_loss=[0.5, 1.0, 1.5, 2.0])
    array([1. , 0.5, 0. ])
    """
    losses = nonnegative_vector("loss", loss)
    population = np.sort(nonnegative_vector("population_loss", population_loss))
    return 1.0 - np.searchsorted(population, losses, side="right") / len(population)
