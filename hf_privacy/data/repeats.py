"""Exact and near-exact repeats: rows that make a non-member half a member.

A copy of a training row among the non-members is scored as a member should be and counted as a false positive, so
repeats bias every membership figure. Find them, report how many there are, and drop them before the split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset, Image

from hf_privacy.arguments import check_number
from hf_privacy.data.columns import check_columns, is_chat, is_text, numeric_matrix, require_column
from hf_privacy.data.fingerprint import content_hashes
from hf_privacy.data.near_repeats import block_means, near_components
from hf_privacy.data.near_texts import text_groups
from hf_privacy.data.pictures import picture_looks
from hf_privacy.data.splits import MembershipSplit
from hf_privacy.errors import InputError

IMAGE_TOLERANCE = 2 / 255
NUMBER_TOLERANCE = 1e-3
_COARSE_VECTOR, _FINE_VECTOR = 16, 64  # blocks of a vector
_BOUNDARIES = (("non_members", "members"), ("population", "members"), ("population", "non_members"))


@dataclass(frozen=True, eq=False)
class RepeatReport:
    """Counts of repeats in one column, and, kept private, which rows they are.

    Near-exact counts come on top of the exact ones: exact_repeats + near_repeats rows go when repeats are dropped.

    Attributes
    ----------
    columns : tuple of str
        Input columns that were compared.
    n_examples : int
        Rows compared.
    exact_repeats, exact_groups : int
        Rows equal to an earlier row; contents that occur more than once.
    label_conflicts : int or None
        Contents that occur under more than one label; None without a label column.
    near_repeats, near_groups : int or None
        Rows that are no exact repeat but are joined to an earlier row by near-exact pairs; groups of two or more
        contents so joined. None where they were not looked for.
    tolerance : float or None
        Largest mean absolute difference of a near-exact pair, as a share of the range; None for text.
    exact_across, near_across : dict of int or None
        For "non_members_in_members", "population_in_members" and "population_in_non_members": rows of the first that
        have an exact repeat (near: that have none, but a near-exact one) in the second. None without a split.
    groups_across : dict of int or None
        For the same three: groups of the first of which a row has a repeat of either kind in the second. None without
        a split by groups.
    exact_group, near_group : int64[N]
        Group of each row; private, not in `to_dict`.
    """

    columns: tuple[str, ...]
    n_examples: int
    exact_repeats: int
    exact_groups: int
    label_conflicts: int | None
    near_repeats: int | None
    near_groups: int | None
    tolerance: float | None
    exact_across: dict[str, int] | None
    near_across: dict[str, int] | None
    exact_group: np.ndarray = field(repr=False)
    near_group: np.ndarray | None = field(repr=False)
    groups_across: dict[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Counts alone, as plain Python types: nothing that tells which rows they are."""
        names = ("n_examples", "exact_repeats", "exact_groups", "label_conflicts", "near_repeats", "near_groups")
        return {
            "columns": list(self.columns),
            **{name: getattr(self, name) for name in names},
            "tolerance": self.tolerance,
            "exact_across": None if self.exact_across is None else dict(self.exact_across),
            "near_across": None if self.near_across is None else dict(self.near_across),
            **({} if self.groups_across is None else {"groups_across": dict(self.groups_across)}),
        }

    def across(self, split: MembershipSplit) -> RepeatReport:
        """The same repeats, counted across the parts of another split of the same rows."""
        exact = {f"{a}_in_{b}": _shared(self.exact_group, split, a, b) for a, b in _BOUNDARIES}
        near, of_any_kind = None, exact
        if self.near_group is not None:
            of_any_kind = {f"{a}_in_{b}": _shared(self.near_group, split, a, b) for a, b in _BOUNDARIES}
            near = {name: int((rows & ~exact[name]).sum()) for name, rows in of_any_kind.items()}
        groups = None
        if split.groups is not None:
            groups = {
                f"{a}_in_{b}": len(np.unique(split.groups[getattr(split, a)][of_any_kind[f"{a}_in_{b}"]]))
                for a, b in _BOUNDARIES
            }
        counted = {name: int(rows.sum()) for name, rows in exact.items()}
        return replace(self, exact_across=counted, near_across=near, groups_across=groups)

    def keep(self) -> np.ndarray:
        """Sorted row numbers that stay when the first row of each group stays: int64[K]."""
        group = self.exact_group if self.near_group is None else self.near_group
        return np.sort(np.unique(group, return_index=True)[1])


def find_repeats(
    dataset: Dataset,
    *,
    column: str | Sequence[str],
    split: MembershipSplit | None = None,
    label_column: str | None = None,
    near: bool = True,
    tolerance: float | None = None,
    overlap: float | None = None,
    max_candidates: int = 20_000_000,
) -> RepeatReport:
    """Find rows with the same or almost the same input.

    Exact: the same content (`content_hashes` of the input column). Near-exact, all pairs, by the kind of column:

    - images: mean absolute difference of the RGB pixels ≤ tolerance (of 0..1), among images of the same size;
    - text, and the texts of messages: equal after NFKC, case folding and removal of punctuation and white space; with
      ``overlap``, also where more than that share of their runs of thirteen words is the same
      (`hf_privacy.data.near_texts`);
    - numbers: mean absolute difference ≤ tolerance, each feature divided by its range.

    Near-exact pairs are joined into groups, so the ends of a chain may differ by more than the tolerance.

    Parameters
    ----------
    column : str or sequence of str
        What the model gets to see: one column, or several of text or numbers.
    split : MembershipSplit, optional
        Count repeats across its parts too.
    label_column : str, optional
        Count contents with more than one label.
    near : bool
        Look for near-exact repeats.
    tolerance : float, optional
        In (0, 1); 2/255 for images and 0.001 for numbers by default.
    overlap : float, optional
        Of texts, in [0, 1), such as 0.8; the columns of a row are looked at as one text.
    max_candidates : int
        Most pairs to compare in full.

    Raises
    ------
    InputError
        Unknown columns, a split of another size, a tolerance outside (0, 1) or given for text, an overlap outside
        [0, 1), or more candidate pairs than `max_candidates`.

    Examples
    --------
    >>> rows = Dataset.from_dict({"text": ["Good film.", "good film", "Good film.", "bad"], "label": [1, 1, 0, 0]})
    >>> report = find_repeats(rows, column="text", label_column="label")
    >>> report.exact_repeats, report.near_repeats, report.label_conflicts, report.keep()
    (1, 1, 1, array([0, 3]))
    """
    columns = (column,) if isinstance(column, str) else tuple(column)
    check_columns(dataset, columns, label_column)
    if tolerance is not None:
        tolerance = check_number("tolerance", tolerance, 0.0, 1.0, low_open=True, high_open=True)
    if overlap is not None:
        overlap = check_number("overlap", overlap, 0.0, 1.0, high_open=True)
    if split is not None and split.n_examples != len(dataset):
        raise InputError(
            f"the split is of {split.n_examples:,} rows and the dataset has {len(dataset):,}: pass the dataset's own"
        )
    features = [dataset.features[name] for name in columns]
    near_group: np.ndarray | None = None
    used: float | None = None
    if any(isinstance(feature, Image) for feature in features):
        if len(columns) > 1:
            raise InputError(f"column names {len(columns)} columns with images among them: pass one image column")
        used = tolerance or IMAGE_TOLERANCE
        exact_group, near_group = _image_groups(dataset, columns[0], near, used, max_candidates)
    else:
        exact_group = np.unique(content_hashes(dataset, columns=columns), return_inverse=True)[1].reshape(-1)
        if near and all(is_text(feature) or is_chat(feature) for feature in features):
            if tolerance is not None:
                raise InputError("tolerance is given for text, which has none: leave it out")
            near_group = _joined(exact_group, text_groups(dataset, columns, overlap, max_candidates))
        elif near:
            used = tolerance or NUMBER_TOLERANCE
            near_group = _number_groups(dataset, columns, exact_group, used, max_candidates)
    return _report(
        dataset, columns, split, label_column, exact_group.astype(np.int64), near_group, used if near else None
    )


def drop_repeats(
    dataset: Dataset,
    *,
    column: str | Sequence[str],
    near: bool = True,
    tolerance: float | None = None,
    overlap: float | None = None,
    max_candidates: int = 20_000_000,
) -> np.ndarray:
    """Sorted row numbers that stay when of each group of repeats only the first row stays; as `find_repeats`.

    Returns
    -------
    int64[K], for ``dataset.select(...)``

    Examples
    --------
    >>> drop_repeats(Dataset.from_dict({"text": ["a", "b", "a"]}), column="text")
    array([0, 1])
    """
    report = find_repeats(
        dataset, column=column, near=near, tolerance=tolerance, overlap=overlap, max_candidates=max_candidates
    )
    return report.keep()


def _report(dataset, columns, split, label_column, exact_group, near_group, tolerance) -> RepeatReport:
    sizes = np.bincount(exact_group)
    n_contents = int((sizes > 0).sum())
    conflicts = None
    if label_column is not None:
        require_column(dataset, label_column, argument="label_column")
        labels = content_hashes(dataset, columns=[label_column])
        labelled = np.unique(np.stack([exact_group, np.unique(labels, return_inverse=True)[1].reshape(-1)]), axis=1)
        conflicts = int((np.bincount(labelled[0]) > 1).sum())
    near_repeats = near_groups = None
    if near_group is not None:
        contents = np.unique(np.stack([near_group, exact_group]), axis=1)[0]
        near_repeats = n_contents - int(np.unique(near_group).size)
        near_groups = int((np.bincount(contents) > 1).sum())
    report = RepeatReport(
        columns=columns,
        n_examples=len(dataset),
        exact_repeats=len(dataset) - n_contents,
        exact_groups=int((sizes > 1).sum()),
        label_conflicts=conflicts,
        near_repeats=near_repeats,
        near_groups=near_groups,
        tolerance=tolerance,
        exact_across=None,
        near_across=None,
        exact_group=exact_group,
        near_group=near_group,
    )
    return report if split is None else report.across(split)


def _shared(group: np.ndarray, split: MembershipSplit, one: str, other: str) -> np.ndarray:
    return np.isin(group[getattr(split, one)], group[getattr(split, other)])


def _joined(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The group in `other` of the first row of each group in `one`, spread over that group's rows."""
    first = np.unique(one, return_index=True)[1]
    return other[first][one].astype(np.int64)


def _image_groups(
    dataset: Dataset, column: str, near: bool, tolerance: float, max_candidates: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """By the looks in the encoded store; only near-exact candidates are decoded again."""
    looks = picture_looks(dataset, column)
    exact_group = np.unique(np.ascontiguousarray(looks.digests).view("V16"), return_inverse=True)[1].reshape(-1)
    if not near:
        return exact_group, None
    images = dataset.with_format(None).select_columns([column])

    def pixels_of(unique: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        rows = unique[wanted]
        return np.stack([np.asarray(image.convert("RGB")) for image in images[rows.tolist()][column]]) / 255

    near_group = np.arange(len(dataset))
    sizes = np.array(looks.sizes)
    for size in np.unique(sizes[sizes[:, 0] > 0], axis=0):
        rows = np.flatnonzero((sizes == size).all(axis=1))
        unique = rows[np.unique(exact_group[rows], return_index=True)[1]]
        component = near_components(
            looks.coarse[unique],
            looks.fine[unique],
            partial(pixels_of, unique),
            tolerance=tolerance,
            max_candidates=max_candidates,
        )
        near_group[unique] = unique[np.unique(component, return_index=True)[1]][component]
    return exact_group, _joined(exact_group, near_group)


def _number_groups(
    dataset: Dataset, columns: tuple[str, ...], exact_group: np.ndarray, tolerance: float, max_candidates: int
) -> np.ndarray:
    values = numeric_matrix(dataset, columns)
    first = np.unique(exact_group, return_index=True)[1]
    unique = values[first]
    low, span = unique.min(axis=0), np.ptp(unique, axis=0)
    unique = (unique - low) / np.where(span > 0, span, 1)
    component = near_components(
        block_means(unique, _COARSE_VECTOR, (1,)),
        block_means(unique, _FINE_VECTOR, (1,)),
        lambda rows: unique[rows],
        tolerance=tolerance,
        max_candidates=max_candidates,
    )
    return component[exact_group]
