"""One quantity averaged over bins of another: the points of a link plot."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from hf_privacy.arguments import check_choice, check_whole
from hf_privacy.arrays import finite_vector, squarable


class BinnedMeans(NamedTuple):
    """One entry per bin that holds enough examples, from low to high x."""

    x_mean: NDArray[np.float64]
    y_mean: NDArray[np.float64]
    y_standard_error: NDArray[np.float64]
    n_examples: NDArray[np.int64]
    n_left_out: int


def binned_means(
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_bins: int = 50,
    bins: Literal["count", "width"] = "count",
    min_examples: int = 2,
) -> BinnedMeans:
    """Means of x and y over bins of x, with the standard error of the mean of y.

    Parameters
    ----------
    x, y : array-like of float, shape [N]
        Such as curvature and memorization.
    n_bins : int, default 50
        The number in the papers' plots.
    bins : {"count", "width"}, default "count"
        Bins of equally many examples, or of equal width from the least to the largest x. Examples of equal x are in
        one bin, whatever their order, so with ties bins of "count" differ in size and some may be empty.
    min_examples : int, default 2
        Bins of fewer examples are left out: one alone has no standard error.

    Returns
    -------
    BinnedMeans
        ``x_mean``, ``y_mean``, ``y_standard_error`` (s/√n, s with n − 1), ``n_examples`` per bin kept, and
        ``n_left_out``, the number of examples in bins that are not.

    Raises
    ------
    InputError
        If x and y differ in length or are not finite, or an option is out of range.

    Notes
    -----
    Means over bins hide the spread within them: a correlation of 50 means is far higher than that of the examples.
    Quote that of the examples (`correlation_table`).

    Examples
    --------
    >>> means = binned_means([0, 1, 2, 3], [1.0, 3.0, 5.0, 9.0], n_bins=2)
    >>> means.x_mean, means.y_mean, means.y_standard_error
    (array([0.5, 2.5]), array([2., 7.]), array([1., 2.]))
    """
    xs = squarable("x", finite_vector("x", x))
    ys = squarable("y", finite_vector("y", y, n_examples=len(xs)))
    n_bins = check_whole("n_bins", n_bins, at_least=1)
    min_examples = check_whole("min_examples", min_examples, at_least=2)
    if check_choice("bins", bins, ("count", "width")) == "count":
        place = (rankdata(xs) - 0.5) / len(xs)  # mid-ranks: ties fall together
    else:
        reach = xs.max() - xs.min()
        place = (xs - xs.min()) / reach if reach > 0 else np.zeros(len(xs))
    index = np.minimum((place * n_bins).astype(np.int64), n_bins - 1)
    count = np.bincount(index, minlength=n_bins)
    kept = count >= min_examples
    x_mean, y_mean = (np.bincount(index, weights=v, minlength=n_bins) / np.maximum(count, 1) for v in (xs, ys))
    squares = np.bincount(index, weights=(ys - y_mean[index]) ** 2, minlength=n_bins)[kept]
    n_kept = count[kept]
    return BinnedMeans(
        x_mean[kept], y_mean[kept], np.sqrt(squares / (n_kept - 1) / n_kept), n_kept, int(count[~kept].sum())
    )
