"""How much models memorize on average, with what chance in their training leaves open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hf_privacy.errors import InputError
from hf_privacy.memorization.feldman_zhang import feldman_zhang
from hf_privacy.memorization.tables import Table, check_tables, count_examples, membership_row


def mean_memorization_of_pairs(correct: Table, reference_membership: Table) -> NDArray[np.float64]:
    """Mean `feldman_zhang` score over the examples, from each complementary pair of reference models alone.

    The score of a single example needs many models, its mean over examples two, of which one was trained on each
    example and the other not. Pairs are trained independently, so the spread of their means is the error of the mean
    of all, chance in the models and their training sets included.

    Parameters
    ----------
    correct, reference_membership
        As in `feldman_zhang`; rows 2j and 2j + 1 are a pair, as `hf_privacy.references.plan_references` draws them
        for a fraction of one half.

    Returns
    -------
    float64[K / 2]
        In [−1, 1]; their mean is that of the scores from all models.

    Raises
    ------
    InputError
        As `feldman_zhang`; also for an odd number of rows, or two that are no complementary pair.

    Examples
    --------
    >>> correct = [[1, 1], [0, 1], [1, 0], [1, 1]]
    >>> membership = [[True, False], [False, True], [False, True], [True, False]]
    >>> mean_memorization_of_pairs(correct, membership)
    array([ 0.5, -0.5])
    """
    correct, reference_membership = check_tables(correct, reference_membership)
    if len(correct) % 2:
        raise InputError(f"correct has {len(correct)} rows: pass complementary pairs of reference models")
    means = []
    for first in range(0, len(correct), 2):
        pair = slice(first, first + 2)
        n_examples = count_examples(reference_membership[first])
        one, other = (membership_row(row, n_examples) for row in reference_membership[pair])
        if np.any(one == other):
            raise InputError(
                f"reference_membership has rows {first} and {first + 1} that are no complementary pair: pass models "
                "of which each example is in one"
            )
        means.append(feldman_zhang(correct[pair], reference_membership[pair]).mean())
    return np.array(means)
