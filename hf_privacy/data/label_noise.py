"""Labels that are wrong on purpose, to see who learns them by heart and what finds them."""

from __future__ import annotations

import numpy as np
from datasets import Dataset
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import LARGEST_SEED, check_number, check_seed
from hf_privacy.arrays import class_labels
from hf_privacy.data.classes import with_labels
from hf_privacy.data.columns import check_labels
from hf_privacy.errors import InputError


def noisy_labels(labels: ArrayLike, *, share: float, seed: int = 0) -> NDArray[np.int64]:
    """Turn a share of the labels, each to one of the other classes that occur, drawn evenly.

    The rows are drawn at random from all, whatever their class. With one seed a larger share turns the same labels, to
    the same classes, and more.

    Parameters
    ----------
    labels : int array-like of shape [N]
        Of at least 2 classes, unless ``share`` is 0.
    share : float
        In [0, 1); round(share · N) labels are turned.
    seed : int, default 0

    Returns
    -------
    int64[N]
        They differ from ``labels`` in the rows that were turned. Which these are tells of single examples.

    Raises
    ------
    InputError
        If the share lies outside [0, 1) or turns no label though it is above 0, there is no other class, or the seed
        is negative.

    Examples
    --------
    >>> turned = noisy_labels([0, 0, 1, 1, 2, 2, 0, 1, 2, 0], share=0.2)
    >>> int((turned != [0, 0, 1, 1, 2, 2, 0, 1, 2, 0]).sum())
    2
    """
    share = check_number("label_noise", share, 0.0, 1.0, high_open=True, such_as="0.1")
    given = class_labels("labels", labels)
    generator = np.random.default_rng(check_seed(seed, at_most=LARGEST_SEED))
    if share == 0:
        return given.copy()
    classes, place = np.unique(given, return_inverse=True)
    if len(classes) < 2:
        raise InputError(
            f"label_noise is {share:g} with rows of {len(classes)} class: there is no other label to turn one to"
        )
    count = round(share * len(given))
    if count == 0:
        raise InputError(
            f"label_noise is {share:g} of {len(given):,} labels: none would be turned; pass 0, or at least "
            f"{1 / max(len(given), 1):.2g}"
        )
    order = generator.permutation(len(given))
    steps = generator.integers(1, len(classes), size=len(given))  # drawn for all: a larger share keeps a smaller one's
    rows = order[:count]
    turned = given.copy()
    turned[rows] = classes[(place[rows] + steps[rows]) % len(classes)]
    return turned


def with_label_noise(
    rows: Dataset, *, label_column: str, share: float, seed: int = 0
) -> tuple[Dataset, NDArray[np.bool_]]:
    """The rows with `noisy_labels` in their label column, and which rows those are.

    Parameters
    ----------
    rows : datasets.Dataset of N rows
    label_column : str
    share, seed
        As in `noisy_labels`.

    Returns
    -------
    rows : datasets.Dataset
        Every other column as it was; the given ones where the share is 0.
    mislabelled : bool[N]
        **Private: never publish or log it**, only how many.

    Raises
    ------
    InputError
        As `noisy_labels`, and for a label column without integers.

    Examples
    --------
    >>> rows = Dataset.from_dict({"text": list("abcd"), "label": [0, 1, 0, 1]})
    >>> noisy, mislabelled = with_label_noise(rows, label_column="label", share=0.5)
    >>> int(mislabelled.sum()), noisy["text"][:] == rows["text"][:]
    (2, True)
    """
    labels = check_labels(rows, label_column)
    turned = noisy_labels(labels, share=share, seed=seed)
    if share == 0:
        return rows, np.zeros(len(rows), dtype=bool)
    return with_labels(rows, label_column, turned, rows.features[label_column]), turned != labels
