"""Who is a member: a seeded, stratified split of a dataset that knows which dataset it belongs to."""

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
from hf_privacy.arrays import row_numbers
from hf_privacy.atomic_file import write_atomically
from hf_privacy.data.columns import label_values, require_column, require_rows
from hf_privacy.data.fingerprint import dataset_fingerprint as fingerprint_of
from hf_privacy.errors import InputError

_FORMAT = "hf_privacy membership split 1"
_PARTS = ("members", "non_members", "population")


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

    Raises
    ------
    InputError
        Members or non-members empty; row numbers repeated, out of range, not integers, or in two parts.

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

    def __post_init__(self) -> None:
        for name in _PARTS:
            rows = _row_numbers(getattr(self, name), name, self.n_examples)
            rows.flags.writeable = False
            object.__setattr__(self, name, rows)
        for one, other in (("members", "non_members"), ("members", "population"), ("non_members", "population")):
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

    @property
    def hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) over the dataset's fingerprint and the three parts.

        How the parts were drawn does not enter: equal parts of the same dataset have the same hash.
        """
        digest = hashlib.sha256(f"{_FORMAT}\n{self.dataset_fingerprint}\n{self.n_examples}\n".encode())
        for name in _PARTS:
            rows = getattr(self, name)
            digest.update(f"{name} {rows.size}\n".encode())
            digest.update(rows.astype("<i8").tobytes())
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
        }
        metadata = {"format": _FORMAT, "hash": self.hash, "facts": json.dumps(facts)}
        content = save({name: getattr(self, name) for name in _PARTS}, metadata=metadata)
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
        if metadata.get("format") != _FORMAT or set(parts) != set(_PARTS):
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
    seed: int = 0,
    fingerprint: str | None = None,
) -> MembershipSplit:
    """Split a dataset into members, non-members and population, drawn or explicit.

    Drawn: the population takes round(population_fraction · rows), the members round(member_fraction · the rest), the
    non-members what remains. Stratified, each class follows the same fractions to within one row and the totals stay
    exact (largest remainders, ties by the seed).

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
    seed : int
        The same seed and labels give the same split on every machine.
    fingerprint : str, optional
        `dataset_fingerprint(dataset)` where it is known already; computed otherwise.

    Raises
    ------
    InputError
        A fraction outside its range, an unknown column, explicit row numbers together with fractions, or parts that
        `MembershipSplit` refuses (overlapping, repeated, out of range, empty).

    Examples
    --------
    >>> rows = Dataset.from_dict({"x": range(10), "label": [0] * 6 + [1] * 4})
    >>> split = make_split(rows, member_fraction=0.5)
    >>> len(split.members), len(split.non_members), [rows["label"][i] for i in split.members].count(1)
    (5, 5, 2)
    """
    require_rows(dataset)
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
        drawn = _drawn_parts(classes, member_fraction, population_fraction, seed)
    return MembershipSplit(
        *drawn,
        n_examples=len(dataset),
        dataset_fingerprint=fingerprint_of(dataset) if fingerprint is None else fingerprint,
        seed=None if explicit else seed,
        stratified=stratify,
        label_column=label_column if stratify else None,
    )


def _explicit_parts(n_examples: int, members, non_members, population) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    member_rows = _row_numbers(members, "members", n_examples)
    population_rows = _row_numbers([] if population is None else population, "population", n_examples)
    if non_members is None:
        non_members = np.setdiff1d(np.arange(n_examples), np.concatenate([member_rows, population_rows]))
    return member_rows, _row_numbers(non_members, "non_members", n_examples), population_rows


def _drawn_parts(
    classes: np.ndarray, member_fraction: float, population_fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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


def _row_numbers(rows: Sequence[int] | np.ndarray, name: str, n_examples: int) -> np.ndarray:
    array = np.sort(row_numbers(name, rows, below=n_examples))
    repeated = array.size - np.unique(array).size
    if repeated:
        raise InputError(f"{name} names {repeated} rows more than once: name each row once")
    return array
