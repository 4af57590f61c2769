"""Memorization bins: the groups of examples that leakage is reported for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_numbers
from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError

# Wide at the bottom, where nearly all examples lie and scores are noise, so that each bin has examples to count.
BIN_EDGES = (0.1, 0.25, 0.5, 0.75)


def memorization_bin(scores: ArrayLike, *, edges: Sequence[float] = BIN_EDGES) -> NDArray[np.int64]:
    """The bin of each memorization score: 0 below the first edge, one more at each edge reached.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Of `feldman_zhang`, in [−1, 1].
    edges : sequence of float
        Increasing; by default 0.1, 0.25, 0.5 and 0.75. Feldman and Zhang's own bins of 0.05 are
        ``np.arange(0.05, 1, 0.05)``.

    Returns
    -------
    int64[N]
        From 0 to ``len(edges)``.

    Raises
    ------
    InputError
        If a score is NaN, or the edges do not increase.

    Examples
    --------
    >>> memorization_bin([-0.1, 0.1, 0.6, 1.0])
    array([0, 1, 3, 4])
    """
    values = real_array("scores", scores).astype(np.float64, copy=False)
    if values.ndim != 1 or np.isnan(values).any():
        raise InputError(
            f"scores have shape {values.shape} with {int(np.isnan(values).sum())} NaN values: pass one memorization "
            "score per example"
        )
    bounds = check_numbers("edges", edges)
    if np.any(np.diff(bounds) <= 0):
        raise InputError(f"edges are {bounds}: pass increasing numbers, such as {list(BIN_EDGES)}")
    return np.searchsorted(np.asarray(bounds), values, side="right")
