"""What is to be forgotten: a request, and the forget, retain and held-out rows it makes of a training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset

from hf_privacy.arguments import check_instance, check_number, check_whole, seen
from hf_privacy.arrays import row_numbers
from hf_privacy.data.columns import require_column
from hf_privacy.data.fingerprint import example_ids
from hf_privacy.data.splits import MembershipSplit
from hf_privacy.errors import InputError

_FORMS = ("rows", "ids", "label", "where", "group", "fraction")


@dataclass(frozen=True)
class ForgetRequest:
    """Which training examples are to be forgotten; exactly one of the six forms.

    Parameters
    ----------
    rows : sequence of int, optional
        Row numbers in the dataset.
    ids : sequence of str, optional
        Names of rows, as `hf_privacy.data.example_ids` gives them.
    label : int or str, optional
        One class, by number or name.
    where : mapping of str to value, optional
        One column and the value it must have, such as ``{"person": "p17"}``.
    group : str, int or list of them, optional
        One value or several of the column that says whose row it is (``data.group_column``): all rows of these people,
        and every one of them must have been trained on.
    fraction : float, optional
        A random share of the members, in (0, 1): for studies; a person's request is one of the others.
    seed : int
        Of the random share.

    Raises
    ------
    InputError
        For no form, more than one, or an empty one.

    Examples
    --------
    >>> ForgetRequest(label=3).kind
    'label'
    >>> ForgetRequest.from_dict({"rows": []})
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: rows is empty: name at least one example to forget
    """

    rows: Sequence[int] | None = None
    ids: Sequence[str] | None = None
    label: int | str | None = None
    where: Mapping[str, Any] | None = None
    group: Any = None
    fraction: float | None = None
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        given = [name for name in _FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            said = "nothing" if not given else " and ".join(given)
            raise InputError(f"the forget request names {said}: pass exactly one of {', '.join(_FORMS)}")
        for name in ("rows", "ids"):
            values = getattr(self, name)
            if values is None:
                continue
            if isinstance(values, (str, Mapping)) or not hasattr(values, "__len__") or getattr(values, "ndim", 1) != 1:
                raise InputError(f"{name} is {seen(values)}: pass a list")
            if len(values) == 0:
                raise InputError(f"{name} is empty: name at least one example to forget")
        if self.rows is not None:
            row_numbers("rows", self.rows)
        if self.where is not None:
            check_instance("where", self.where, Mapping)
        if self.where is not None and len(self.where) != 1:
            raise InputError(f"where has {len(self.where)} columns: pass one column and its value")
        if self.group is not None and not self.groups:
            raise InputError("group is empty: name at least one group to forget")
        for value in self.groups:
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                raise InputError(f"group is {seen(self.group)}: pass a text or a whole number, or a list of them")
        if self.fraction is not None:
            check_number("fraction", self.fraction, 0.0, 1.0, low_open=True, high_open=True)
        if self.label is not None and not isinstance(self.label, str):
            check_whole("label", self.label)
        check_whole("seed", self.seed, at_least=0)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ForgetRequest:
        """A request from a recipe or a line of a queue; an unknown key is an `InputError`."""
        for name in values:
            if name not in (*_FORMS, "seed"):
                raise InputError(f"unknown key {name!r} in the forget request: pass one of {', '.join(_FORMS)}, seed")
        return cls(**values)

    @property
    def kind(self) -> str:
        """The form it has; the one thing of a request that a report may name."""
        return next(name for name in _FORMS if getattr(self, name) is not None)

    @property
    def groups(self) -> list[Any]:
        """The values of ``group``, each once; none of another form."""
        values = self.group if isinstance(self.group, (list, tuple)) else [self.group]
        return [] if self.group is None else list(dict.fromkeys(values))

    def select(
        self,
        dataset: Dataset,
        members: np.ndarray,
        *,
        label_column: str = "label",
        labels: np.ndarray | None = None,
        group_column: str | None = None,
    ) -> np.ndarray:
        """Row numbers of the members it names, sorted.

        Parameters
        ----------
        dataset : Dataset
        members : int64[M]
            The training set.
        label_column : str
            For ``label``.
        labels : int64[N], optional
            Class numbers of all rows, where the column holds something else.
        group_column : str, optional
            For ``group``.

        Raises
        ------
        InputError
            For rows, ids, groups or a value that no member has, rows that are no members, or a group with a row that
            is none.
        """
        members = np.sort(row_numbers("members", members, below=len(dataset)))
        if self.fraction is not None:
            n = round(self.fraction * len(members))
            if not 0 < n < len(members):
                raise InputError(f"fraction is {self.fraction} of {len(members)} members, which is {n}: name more")
            return np.sort(np.random.default_rng(self.seed).choice(members, size=n, replace=False))
        if self.rows is not None:
            return self._members_only(np.unique(row_numbers("rows", self.rows)), members, "rows")
        if self.ids is not None:
            place = {name: row for row, name in enumerate(example_ids(dataset).tolist())}
            unknown = sum(name not in place for name in self.ids)
            if unknown:
                raise InputError(f"{unknown} of {len(self.ids)} ids name no row of the dataset: pass its example_ids")
            return self._members_only(np.unique([place[name] for name in self.ids]), members, "ids")
        if self.group is not None:
            return self._whole_groups(dataset, members, group_column)
        if self.label is not None:
            wanted, values = self.label, labels
            if isinstance(wanted, str):
                names = getattr(dataset.features.get(label_column), "names", None)
                if names is None or wanted not in names:
                    raise InputError(f"label is {wanted!r}: the dataset has no class of that name; pass its number")
                wanted = names.index(wanted)
            if values is None:
                require_column(dataset, label_column, argument="label_column")
                values = np.asarray(dataset[label_column])
            chosen = members[np.asarray(values)[members] == wanted]
            described = f"label is {self.label!r}"
        else:
            assert self.where is not None
            ((column, value),) = self.where.items()
            require_column(dataset, column, argument="where")
            found = np.array([entry == value for entry in dataset[column]], dtype=bool)
            chosen = members[found[members]]
            described = f"where names the column {column!r}"  # not the value: it may be a person's name
        if len(chosen) == 0:
            raise InputError(f"{described} and no training example has that value: nothing is to be forgotten")
        return chosen

    def _whole_groups(self, dataset: Dataset, members: np.ndarray, group_column: str | None) -> np.ndarray:
        """All rows of the groups; no value is named in what is refused: it may be a person's name."""
        if group_column is None:
            raise InputError(
                "the forget request names a group and no column says whose row it is: set data.group_column before "
                "training, or name the rows by where, rows or ids"
            )
        require_column(dataset, group_column, argument="group_column")
        values = dataset[group_column][:]
        unknown = set(self.groups).difference(values)
        if unknown:
            raise InputError(
                f"{len(unknown)} of the {len(self.groups)} groups asked for are no value of the column "
                f"{group_column!r}: pass values that it holds, of its type"
            )
        wanted = set(self.groups)
        chosen = np.array([row for row, value in enumerate(values) if value in wanted], dtype=np.int64)
        outside = int((~np.isin(chosen, members)).sum())
        if 0 < outside < len(chosen):
            raise InputError(
                f"{outside} of the {len(chosen)} rows of the groups asked for are not in the training set: a group is "
                "forgotten whole; name the rows that were trained on by where, rows or ids"
            )
        return self._members_only(chosen, members, "group")

    @staticmethod
    def _members_only(chosen: np.ndarray, members: np.ndarray, name: str) -> np.ndarray:
        outside = int((~np.isin(chosen, members)).sum())
        if outside:
            raise InputError(
                f"{outside} of the {len(chosen)} examples in {name} are not in the training set: the model cannot "
                "forget what it was not trained on"
            )
        return chosen


@dataclass(frozen=True, eq=False)
class ForgetSplit:
    """Row numbers to forget, to retain, and held out, of one dataset.

    Parameters
    ----------
    forget, retain : int64[F], int64[R]
        Together the training set.
    heldout : int64[H]
        Never trained on; may be empty.

    Raises
    ------
    InputError
        If forget or retain is empty, or two of the parts share a row.

    Examples
    --------
    >>> ForgetSplit([0], [1, 2], [2])
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: 1 row is in retain and in heldout: give each to one part only
    """

    forget: np.ndarray
    retain: np.ndarray
    heldout: np.ndarray

    def __post_init__(self) -> None:
        for name in ("forget", "retain", "heldout"):
            rows = np.sort(row_numbers(name, getattr(self, name)))
            rows.flags.writeable = False
            object.__setattr__(self, name, rows)
        for name in ("forget", "retain"):
            if getattr(self, name).size == 0:
                raise InputError(f"{name} is empty: an unlearner needs examples to forget and examples to keep")
        for one, other in (("forget", "retain"), ("forget", "heldout"), ("retain", "heldout")):
            shared = np.intersect1d(getattr(self, one), getattr(self, other)).size
            if shared:
                count = "1 row is" if shared == 1 else f"{shared} rows are"
                raise InputError(f"{count} in {one} and in {other}: give each to one part only")


def make_forget_split(
    dataset: Dataset,
    split: MembershipSplit,
    request: ForgetRequest,
    *,
    label_column: str = "label",
    labels: np.ndarray | None = None,
) -> ForgetSplit:
    """The request's rows to forget, the other members to retain, and held-out rows an unlearner may compare with.

    Held out is the population, so that non-members stay unseen and can judge the result; without a population it is
    the non-members, and figures on these are then not independent of an unlearner that used them.

    Parameters
    ----------
    dataset : Dataset
        The one ``split`` is of.
    split : MembershipSplit
    request : ForgetRequest
    label_column, labels
        As in `ForgetRequest.select`.

    Examples
    --------
    >>> rows = Dataset.from_dict({"person": ["a", "b", "a", "c"], "label": [0, 1, 0, 1]})
    >>> split = MembershipSplit([0, 1, 2], [3], [], n_examples=4, dataset_fingerprint="f")
    >>> parts = make_forget_split(rows, split, ForgetRequest(where={"person": "a"}))
    >>> parts.forget, parts.retain, parts.heldout
    (array([0, 2]), array([1]), array([3]))
    """
    forget = request.select(dataset, split.members, label_column=label_column, labels=labels)
    heldout = split.population if len(split.population) else split.non_members
    return ForgetSplit(forget, np.setdiff1d(split.members, forget), heldout)
