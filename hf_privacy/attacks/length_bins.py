"""Bins of rows of about one length, each with enough of the population to be compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_whole
from hf_privacy.arrays import finite_vector


def length_bins(
    lengths: ArrayLike, population_lengths: ArrayLike, *, n_bins: int = 10, fewest: int = 50
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the bins of rows by length, cut where the population's quantiles are.

    How far a row's signal moves by chance depends on how many tokens it is a mean of: a short row among long ones
    stands at either end. Among rows of its own length it does not.

    Parameters
    ----------
    lengths : array-like of float, shape [N]
        Scored tokens of each example.
    population_lengths : array-like of float, shape [Z]
        Those of the population.
    n_bins : int, default 10
        Most bins, ≥ 1; fewer where the population is small or many of its rows have one length.
    fewest : int, default 50
        Rows of the population in every bin, ≥ 1: a share of them comes in steps of one over it. There is one bin where
        the population is smaller.

    Returns
    -------
    bins : int64[N]
        From 0. What is shorter or longer than all of the population is in the outermost bins.
    population_bins : int64[Z]

    Raises
    ------
    InputError
        If lengths are empty, not one-dimensional, NaN or infinite, or n_bins or fewest is no whole number ≥ 1.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.length_bins([1, 5, 99], [2, 2, 4, 5], n_bins=2, fewest=1)
    (array([0, 1, 1]), array([0, 0, 1, 1]))
    """
    ours, theirs = finite_vector("lengths", lengths), finite_vector("population_lengths", population_lengths)
    n_bins = check_whole("n_bins", n_bins, at_least=1)
    fewest = check_whole("fewest", fewest, at_least=1)
    wanted = max(fewest, len(theirs) / n_bins)
    edges, n_in_bin, n_left = [], 0, len(theirs)
    for length, count in zip(*np.unique(theirs, return_counts=True), strict=True):
        if n_in_bin >= wanted and n_left >= fewest:
            edges.append(length)
            n_in_bin = 0
        n_in_bin += count
        n_left -= count
    return np.searchsorted(edges, ours, side="right"), np.searchsorted(edges, theirs, side="right")
