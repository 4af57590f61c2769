"""Other members of the same pool: several targets of one recipe that share their reference models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hf_privacy.arguments import LARGEST_SEED, check_instance, check_seed
from hf_privacy.arrays import label_array
from hf_privacy.data.drawing import drawn_parts
from hf_privacy.data.groups import class_of_groups
from hf_privacy.data.splits import MembershipSplit
from hf_privacy.errors import InputError


def redraw_members(split: MembershipSplit, labels: np.ndarray | None, *, seed: int) -> MembershipSplit:
    """Draw as many members anew among members and non-members; pool and population stay as they are.

    Of a split by groups, as many whole groups are drawn. Reference models depend on the pool alone, so the targets of
    all these splits are attacked with the same ones. The draw depends on the pool, the number of members and the
    seed, not on who the members were.

    Parameters
    ----------
    split : MembershipSplit
    labels : int array of shape [n_examples], or None
        Class of every row; a stratified split is drawn stratified again. None where rows have no class.
    seed : int
        At least 0.

    Returns
    -------
    MembershipSplit
        With ``seed`` None, since one number no longer gives the whole split.

    Raises
    ------
    InputError
        For labels of another number of rows, none of a stratified split, or a negative seed.

    Examples
    --------
    >>> split = MembershipSplit([0, 1, 2], [3, 4, 5], [6], n_examples=7, dataset_fingerprint="f")
    >>> other = redraw_members(split, None, seed=1)
    >>> len(other.members), other.pool, other.population
    (3, array([0, 1, 2, 3, 4, 5]), array([6]))
    """
    check_instance("split", split, MembershipSplit)
    if labels is None and split.stratified:
        raise InputError("labels is None and the split is stratified: pass the class of each row")
    labels = np.zeros(split.n_examples, dtype=np.int64) if labels is None else label_array("labels", labels)
    if labels.shape != (split.n_examples,):
        raise InputError(f"labels has shape {labels.shape}: pass the class of each of the {split.n_examples:,} rows")
    seed = check_seed(seed, at_most=LARGEST_SEED)
    pool, membership = split.pool, split.membership
    # Each row is a unit of its own where there are no groups.
    units = np.arange(len(pool)) if split.groups is None else np.unique(split.groups[pool], return_inverse=True)[1]
    n_units, n_member_units = (len(np.unique(some)) for some in (units, units[membership]))
    strata = class_of_groups(units, labels[pool]) if split.stratified else None
    strata = np.zeros(n_units, dtype=np.int64) if strata is None else np.unique(strata, return_inverse=True)[1]
    drawn, _, _ = drawn_parts(strata, n_member_units / n_units, 0.0, seed)
    chosen = np.isin(units, drawn)
    return replace(split, members=pool[chosen], non_members=pool[~chosen], seed=None)
