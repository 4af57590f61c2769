"""Other members of the same pool: several targets of one recipe that share their reference models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from datasets import Dataset

from hf_privacy.arguments import LARGEST_SEED, check_instance, check_seed
from hf_privacy.arrays import label_array
from hf_privacy.data.splits import MembershipSplit, make_split
from hf_privacy.errors import InputError


def redraw_members(split: MembershipSplit, labels: np.ndarray, *, seed: int) -> MembershipSplit:
    """Draw as many members anew among members and non-members; pool and population stay as they are.

    Reference models depend on the pool alone, so the targets of all these splits are attacked with the same ones.
    The draw depends on the pool, the number of members and the seed, not on who the members were.

    Parameters
    ----------
    split : MembershipSplit
    labels : int array of shape [n_examples]
        Class of every row; a stratified split is drawn stratified again.
    seed : int
        At least 0.

    Returns
    -------
    MembershipSplit
        With ``seed`` None, since one number no longer gives the whole split.

    Raises
    ------
    InputError
        For labels of another number of rows, or a negative seed.

    Examples
    --------
    >>> split = MembershipSplit([0, 1, 2], [3, 4, 5], [6], n_examples=7, dataset_fingerprint="f")
    >>> other = redraw_members(split, np.zeros(7), seed=1)
    >>> len(other.members), other.pool, other.population
    (3, array([0, 1, 2, 3, 4, 5]), array([6]))
    """
    check_instance("split", split, MembershipSplit)
    labels = label_array("labels", labels)
    if labels.shape != (split.n_examples,):
        raise InputError(f"labels has shape {labels.shape}: pass the class of each of the {split.n_examples:,} rows")
    seed = check_seed(seed, at_most=LARGEST_SEED)
    pool = split.pool
    drawn = make_split(
        Dataset.from_dict({"label": labels[pool]}),
        member_fraction=len(split.members) / len(pool),
        stratify=split.stratified,
        seed=seed,
        fingerprint="only the row numbers are used",
    )
    return replace(split, members=pool[drawn.members], non_members=pool[drawn.non_members], seed=None)
