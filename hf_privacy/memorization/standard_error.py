"""How far chance in the reference models can have moved a memorization score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_privacy.memorization.tables import Table, refuse_one_sided, refuse_single, side_sums


def memorization_standard_error(correct: Table, reference_membership: Table) -> NDArray[np.float64]:
    """Standard error of each `feldman_zhang` score: of a difference of two means over independent models.

    √(s²_in/n_in + s²_out/n_out) with s² the sample variance of a side (n − 1). For 0/1 correctness s²/n is the
    unbiased estimate p̂(1 − p̂)/(n − 1) of the binomial variance of p̂; for probabilities of the true class the same
    formula holds, and the error is smaller.

    Parameters
    ----------
    correct, reference_membership
        As in `feldman_zhang`.

    Returns
    -------
    float64[N]
        At least 0. Its square is unbiased, so means over many examples can be trusted; a single one is itself noisy.

    Raises
    ------
    InputError
        As `feldman_zhang`; also if an example has fewer than two reference models on a side.

    Notes
    -----
    It is 0 where all models of each side agree, as for most well-learned examples: that says "all of these few", not
    "certain". For an interval of a single example use `agresti_caffo`.

    Examples
    --------
    >>> correct = [[1, 1], [1, 0], [0, 1], [0, 0]]
    >>> membership = [[True, True], [True, True], [False, False], [False, False]]
    >>> memorization_standard_error(correct, membership).round(3)
    array([0.   , 0.707])
    """
    n_in, (sums, squares) = side_sums(correct, reference_membership, powers=2)
    refuse_one_sided(n_in, len(correct))
    refuse_single(n_in, len(correct), "a standard error")
    variance = np.zeros(len(n_in))
    for count, total, square in zip((n_in, len(correct) - n_in), sums, squares, strict=True):
        # Values lie in [0, 1], so little cancels; what rounding leaves below zero is none.
        variance += np.maximum(square - total * total / count, 0.0) / (count * (count - 1))
    return np.sqrt(variance)


def agresti_caffo(correct: Table, reference_membership: Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and standard error of an interval for each score that holds with few reference models, too.

    As if each side held two models more, one right and one wrong: centre p̃_in − p̃_out with p̃ = (Σ + 1)/(n + 2), and
    variance p̃(1 − p̃)/(n + 2) of each side. Centre ± z · standard error is then an interval for the score's
    expectation, and never one of no width.

    Parameters
    ----------
    correct, reference_membership
        As in `feldman_zhang`. Probabilities are taken likewise, as if one more 0 and one more 1 had been seen: wider
        than need be.

    Returns
    -------
    centre, standard_error : float64[N]
        The centre lies nearer to 0 than the score.

    Raises
    ------
    InputError
        As `feldman_zhang`.

    References
    ----------
    Agresti and Caffo, "Simple and effective confidence intervals for proportions and differences of proportions
    result from adding two successes and two failures", The American Statistician 2000.

    Examples
    --------
    >>> correct = [[1, 1], [1, 1], [0, 1], [0, 1]]
    >>> membership = [[True, True], [True, True], [False, False], [False, False]]
    >>> centre, standard_error = agresti_caffo(correct, membership)
    >>> centre, standard_error.round(3)
    (array([0.5, 0. ]), array([0.306, 0.306]))
    """
    n_in, (sums, squares) = side_sums(correct, reference_membership, powers=2)
    refuse_one_sided(n_in, len(correct))
    means, variance = [], np.zeros(len(n_in))
    for count, total, square in zip((n_in, len(correct) - n_in), sums, squares, strict=True):
        mean = (total + 1) / (count + 2)
        variance += ((square + 1) / (count + 2) - mean * mean) / (count + 2)
        means.append(mean)
    return means[0] - means[1], np.sqrt(variance)
