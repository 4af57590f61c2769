"""Who is a member: a seeded split of a dataset, by class or by whole groups, that knows which dataset it is of."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hf_privacy.arguments import LARGEST_SEED, check_number, check_seed, check_switch
from hf_privacy.arrays import row_numbers, whole_array
from hf_privacy.atomic_file import write_atomically
from hf_privacy.data.columns import label_values, require_column, require_rows
from hf_privacy.data.drawing import drawn_parts
from hf_privacy.data.fingerprint import dataset_fingerprint as fingerprint_of
from hf_privacy.data.groups import class_of_groups, group_numbers
from hf_privacy.errors import InputError

_FORMAT = "hf_privacy membership split 1"
_PARTS = ("members", "non_members", "population")
_PAIRS = (("members", "non_members"), ("members", "population"), ("non_members", "population"))


@dataclass(frozen=True, eq=False)
class MembershipSplit:
    """Row numbers of the members, the non-members and the population of one dataset.

    The target trains on `members`; attacks are judged on members against `non_members`; `population` is shown to
    neither and serves attacks that need outside data (Attack-P, RMIA). It says who is a member: keep it local.

    Parameters
    ----------
    members, non_members, population : int64[M], int64[N], int64[P]
        Row numbers, kept sorted and read-only; the population may be empty.
    n_examples : int
        Rows of the dataset; rows in no part are left out.
    dataset_fingerprint : str
        `hf_privacy.data.dataset_fingerprint` of the dataset.
    seed : int or None
        Seed it was drawn with; None for explicit row numbers.
    stratified : bool
        Whether each class is spread in the same proportions.
    label_column : str or None
        Column it was stratified by.
    groups : int64[n_examples] or None
        The number of each row's group, read-only; no group has rows in two parts. None where the unit is a row.
    unit : str or None
        The column that the groups are the values of; None where the unit is a row.

    Raises
    ------
    InputError
        Members or non-members empty; row numbers repeated, out of range, not integers, or in two parts; a group with
        rows in two parts; groups without a unit, or of another number of rows.

    Examples
    --------
    >>> split = MembershipSplit([4, 0], [1], [2], n_examples=5, dataset_fingerprint="f")
    >>> split.pool, split.membership
    (array([0, 1, 4]), array([ True, False,  True]))
    """

    members: np.ndarray
    non_members: np.ndarray
    population: np.ndarray
    n_examples: int
    dataset_fingerprint: str
    seed: int | None = None
    stratified: bool = False
    label_column: str | None = None
    groups: np.ndarray | None = None
    unit: str | None = None

    def __post_init__(self) -> None:
        for name in _PARTS:
            rows = _row_numbers(getattr(self, name), name, self.n_examples)
            rows.flags.writeable = False
            object.__setattr__(self, name, rows)
        for one, other in _PAIRS:
            shared = np.intersect1d(getattr(self, one), getattr(self, other)).size
            if shared:
                raise InputError(
                    f"{shared} of the {one.replace('_', '-')} are also in {other}: give each row to one part only"
                )
        for name in ("members", "non_members"):
            if getattr(self, name).size == 0:
                raise InputError(
                    f"the split has no {name.replace('_', '-')}: an audit compares both, so give each at least one row"
                )
        self._check_groups()

    def _check_groups(self) -> None:
        if (self.groups is None) != (self.unit is None):
            raise InputError("groups and unit go together: pass the rows' group numbers and the column they are of")
        if self.groups is None:
            return
        groups = whole_array("groups", self.groups).copy()
        if groups.shape != (self.n_examples,):
            raise InputError(f"groups has shape {groups.shape}: pass the group of each of {self.n_examples:,} rows")
        groups.flags.writeable = False
        object.__setattr__(self, "groups", groups)
        for one, other in _PAIRS:
            shared = np.intersect1d(groups[getattr(self, one)], groups[getattr(self, other)]).size
            if shared:
                raise InputError(
                    f"{shared} of the groups by {self.unit!r} have rows in {one} and in {other}: give each group to "
                    "one part only, or draw the split with group_column"
                )

    @property
    def pool_groups(self) -> np.ndarray | None:
        """The group of each row of `pool`, int64[M + N]; None where the unit is a row."""
        return None if self.groups is None else self.groups[self.pool]

    @property
    def n_groups(self) -> dict[str, int] | None:
        """How many groups the "members", "non_members" and "population" are of; None where the unit is a row."""
        if self.groups is None:
            return None
        return {name: len(np.unique(self.groups[getattr(self, name)])) for name in _PARTS}

    @property
    def hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) over the dataset's fingerprint, the three parts and the groups.

        How the parts were drawn does not enter: equal parts of the same dataset, by the same groups, have the same
        hash.
        """
        digest = hashlib.sha256(f"{_FORMAT}\n{self.dataset_fingerprint}\n{self.n_examples}\n".encode())
        for name in _PARTS:
            rows = getattr(self, name)
            digest.update(f"{name} {rows.size}\n".encode())
            digest.update(rows.astype("<i8").tobytes())
        if self.groups is not None:
            digest.update(f"groups {self.unit}\n".encode() + self.groups.astype("<i8").tobytes())
        return digest.hexdigest()

    @property
    def pool(self) -> np.ndarray:
        """Row numbers of members and non-members together, sorted: int64[M + N]."""
        return np.sort(np.concatenate([self.members, self.non_members]))

    @property
    def membership(self) -> np.ndarray:
        """For each row of `pool`, whether it is a member: bool[M + N]."""
        return np.isin(self.pool, self.members, assume_unique=True)

    def check(self, dataset: Dataset | str) -> None:
        """Check that the split is one of this dataset (or of the dataset with this fingerprint).

        Raises
        ------
        InputError
            When it is of another.
        """
        if not isinstance(dataset, str):
            require_rows(dataset)
            if len(dataset) != self.n_examples:
                raise InputError(
                    f"the split is of a dataset with {self.n_examples:,} rows and this one has {len(dataset):,}: load "
                    "the dataset the split was drawn from, or draw a new split"
                )
            dataset = fingerprint_of(dataset)
        if dataset != self.dataset_fingerprint:
            raise InputError(
                f"the split is of another dataset (fingerprint {self.dataset_fingerprint[:12]}…, this one has "
                f"{dataset[:12]}…): load the dataset the split was drawn from, or draw a new split"
            )

    def save(self, path: str | os.PathLike) -> Path:
        """Write the split to one safetensors file, readable by its owner only; returns the path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {
            "n_examples": self.n_examples,
            "dataset_fingerprint": self.dataset_fingerprint,
            "seed": self.seed,
            "stratified": self.stratified,
            "label_column": self.label_column,
            "unit": self.unit,
        }
        metadata = {"format": _FORMAT, "hash": self.hash, "facts": json.dumps(facts)}
        tensors = {name: getattr(self, name) for name in _PARTS}
        content = save(tensors if self.groups is None else {**tensors, "groups": self.groups}, metadata=metadata)
        write_atomically(path, content, mode=0o600)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> MembershipSplit:
        """Read a split that `save` wrote.

        Raises
        ------
        InputError
            When there is no such file, it is no split, or its parts do not have the hash it was saved with.
        """
        if not Path(path).is_file():
            raise InputError(f"there is no split file at {path}: pass the file MembershipSplit.save wrote")
        try:
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
                parts = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        except SafetensorError as error:
            raise InputError(f"{path} is no safetensors file: pass the file MembershipSplit.save wrote") from error
        if metadata.get("format") != _FORMAT or set(parts) - {"groups"} != set(_PARTS):
            raise InputError(f"{path} holds no membership split: pass the file MembershipSplit.save wrote")
        split = cls(**parts, **json.loads(metadata["facts"]))
        if split.hash != metadata["hash"]:
            raise InputError(f"the split in {path} was changed after it was saved: draw or save it again")
        return split


def make_split(
    dataset: Dataset,
    *,
    member_fraction: float = 0.5,
    population_fraction: float = 0.0,
    members: Sequence[int] | np.ndarray | None = None,
    non_members: Sequence[int] | np.ndarray | None = None,
    population: Sequence[int] | np.ndarray | None = None,
    label_column: str = "label",
    stratify: bool = True,
    group_column: str | None = None,
    seed: int = 0,
    fingerprint: str | None = None,
) -> MembershipSplit:
    """Split a dataset into members, non-members and population, drawn or explicit.

    Drawn: the population takes round(population_fraction · rows), the members round(member_fraction · the rest), the
    non-members what remains. Stratified, each class follows the same fractions to within one row and the totals stay
    exact (largest remainders, ties by the seed).

    By groups, whole groups are drawn and the fractions are shares of the **groups**, each as likely as any other
    whatever its size; of unequal ones the rows follow the fractions only roughly.

    Parameters
    ----------
    member_fraction : float
        members / (members + non-members), in (0, 1).
    population_fraction : float
        population / rows, in [0, 1).
    members, non_members, population : sequence of int, optional
        Explicit row numbers, in place of the fractions. With members alone, all rows outside the population that are
        no members are non-members.
    label_column, stratify : str, bool
        Spread the classes of this column evenly; it is not read with ``stratify=False`` or explicit row numbers.
        With groups, those of each class: every group must be of one.
    group_column : str, optional
        Whose row it is (author, user, document): a group is never on both sides. At least 4 groups.
    seed : int
        The same seed and labels give the same split on every machine.
    fingerprint : str, optional
        `dataset_fingerprint(dataset)` where it is known already; computed otherwise.

    Raises
    ------
    InputError
        A fraction outside its range, an unknown column, explicit row numbers together with fractions, groups that are
        missing, too few or, with ``stratify``, of several classes, or parts that `MembershipSplit` refuses
        (overlapping, repeated, out of range, empty, a group on both sides).

    Examples
    --------
    >>> rows = Dataset.from_dict({"x": range(10), "label": [0] * 6 + [1] * 4})
    >>> split = make_split(rows, member_fraction=0.5)
    >>> len(split.members), len(split.non_members), [rows["label"][i] for i in split.members].count(1)
    (5, 5, 2)
    """
    require_rows(dataset)
    groups = None if group_column is None else group_numbers(dataset, group_column)
    explicit = members is not None or non_members is not None or population is not None
    if explicit:
        if members is None:
            raise InputError("non_members or population is given without members: give the members' row numbers too")
        if member_fraction != 0.5 or population_fraction != 0.0:
            raise InputError("members and a fraction are both given: pass row numbers or fractions, not both")
        drawn = _explicit_parts(len(dataset), members, non_members, population)
        stratify = False
    else:
        member_fraction = check_number("member_fraction", member_fraction, 0.0, 1.0, low_open=True, high_open=True)
        population_fraction = check_number("population_fraction", population_fraction, 0.0, 1.0, high_open=True)
        seed = check_seed(seed, at_most=LARGEST_SEED)
        classes = np.zeros(len(dataset), dtype=np.int64)
        if check_switch("stratify", stratify):
            require_column(dataset, label_column, argument="label_column")
            values = label_values(dataset, label_column, or_else=", or pass stratify=False")
            classes = np.unique(values, return_inverse=True)[1]
        if groups is not None:
            of_groups = class_of_groups(groups, classes)
            if of_groups is None:
                raise InputError(
                    f"group_column is {group_column!r} and a group has rows of several classes: whole groups cannot "
                    f"be spread by {label_column!r} too, so pass stratify=False (data.stratify: false)"
                )
            classes = of_groups
        drawn = drawn_parts(classes, member_fraction, population_fraction, seed)
        if groups is not None:
            drawn = _rows_of(groups, drawn)
    return MembershipSplit(
        *drawn,
        n_examples=len(dataset),
        dataset_fingerprint=fingerprint_of(dataset) if fingerprint is None else fingerprint,
        seed=None if explicit else seed,
        stratified=stratify,
        label_column=label_column if stratify else None,
        groups=groups,
        unit=group_column,
    )


def _explicit_parts(n_examples: int, members, non_members, population) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    member_rows = _row_numbers(members, "members", n_examples)
    population_rows = _row_numbers([] if population is None else population, "population", n_examples)
    if non_members is None:
        non_members = np.setdiff1d(np.arange(n_examples), np.concatenate([member_rows, population_rows]))
    return member_rows, _row_numbers(non_members, "non_members", n_examples), population_rows


def _rows_of(groups: np.ndarray, parts: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    members, non_members, population = (np.flatnonzero(np.isin(groups, part)) for part in parts)
    return members, non_members, population


def _row_numbers(rows: Sequence[int] | np.ndarray, name: str, n_examples: int) -> np.ndarray:
    array = np.sort(row_numbers(name, rows, below=n_examples))
    repeated = array.size - np.unique(array).size
    if repeated:
        raise InputError(f"{name} names {repeated} rows more than once: name each row once")
    return array
