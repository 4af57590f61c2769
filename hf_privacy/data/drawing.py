"""The draw of a split: exact sizes, each class in the same shares."""

from __future__ import annotations

import numpy as np


def drawn_parts(
    classes: np.ndarray, member_fraction: float, population_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members, non-members and population among units of these classes, by the shares of `make_split`: int64.

    Examples
    --------
    >>> [part.size for part in drawn_parts(np.array([0, 0, 1, 1]), 0.5, 0.0, 0)]
    [2, 2, 0]
    """
    generator = np.random.default_rng(seed)
    order = np.argsort(generator.random(classes.size), kind="stable")
    sizes = np.bincount(classes)
    n_population = round(population_fraction * classes.size)
    n_members = round(member_fraction * (classes.size - n_population))
    of_population = _shares(n_population, sizes, generator)
    of_members = _shares(n_members, sizes - of_population, generator)

    # place of each row among the rows of its class, in the shuffled order
    shuffled = classes[order]
    by_class = np.argsort(shuffled, kind="stable")
    place = np.empty(classes.size, dtype=np.int64)
    place[by_class] = np.arange(classes.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    in_population = place < of_population[shuffled]
    in_members = ~in_population & (place < (of_population + of_members)[shuffled])
    return order[in_members], order[~in_population & ~in_members], order[in_population]


def _shares(total: int, sizes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """`total` spread over classes of these sizes in proportion, by largest remainders; ties fall at random."""
    if total == 0:
        return np.zeros_like(sizes)
    quotas = total * sizes / sizes.sum()
    shares = np.floor(quotas + 1e-9).astype(np.int64)
    remainders = np.round(quotas - shares, 9)
    first = np.lexsort((generator.random(sizes.size), -remainders))[: total - shares.sum()]
    shares[first] += 1
    return shares
