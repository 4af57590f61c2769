"""Random halves of retrained models: what a distance between two sets of models is worth when nothing is different."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hf_privacy.arguments import LARGEST_SEED, check_seed, check_whole


class Split(NamedTuple):
    """Row numbers of one comparison of equal sizes.

    ``first`` and ``second`` are disjoint sets of retrained models, ``drawn`` as many unlearned ones as ``first`` has.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    drawn: NDArray[np.int64]


def random_halves(n_unlearned: int, n_retrained: int, *, n_splits: int, seed: int) -> Iterator[Split]:
    """Splits of the retrained models into halves, with unlearned models of the first half's number beside.

    Few models make any such distance large by chance alone, so null and measurement are comparable only at equal
    numbers.

    Raises
    ------
    InputError
        If ``n_splits`` is below 1 or the seed negative.

    Examples
    --------
    >>> [len(part) for part in next(random_halves(5, 9, n_splits=1, seed=0))]
    [4, 5, 4]
    """
    n_splits = check_whole("n_splits", n_splits, at_least=1)
    generator = np.random.default_rng(check_seed(seed, at_most=LARGEST_SEED))
    half = n_retrained // 2
    size = min(half, n_unlearned)
    for _ in range(n_splits):
        retrained = generator.permutation(n_retrained)
        yield Split(retrained[:size], retrained[half:], generator.permutation(n_unlearned)[:size])


def against_halves(
    measure: Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]],
    unlearned: NDArray[np.float64],
    retrained: NDArray[np.float64],
    *,
    n_splits: int,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A measure of two sets of models, matched and null: [n_splits, …] of unlearned and of retrained first halves.

    Examples
    --------
    >>> tables = np.zeros((4, 3)), np.ones((4, 3))
    >>> matched, null = against_halves(lambda a, b: (a.mean(0) - b.mean(0)).mean(), *tables, n_splits=2, seed=0)
    >>> matched, null
    (array([-1., -1.]), array([0., 0.]))
    """
    matched, null = [], []
    for split in random_halves(len(unlearned), len(retrained), n_splits=n_splits, seed=seed):
        other_half = retrained[split.second]
        matched.append(measure(unlearned[split.drawn], other_half))
        null.append(measure(retrained[split.first], other_half))
    return np.array(matched), np.array(null)
