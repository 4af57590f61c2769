"""From a request to forget to rows: to forget, to retain, held out, and to judge by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_privacy.data import ForgetRequest, ForgetSplit, MembershipSplit
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import Recipe, number_or_same
from hf_privacy.recipe.experiment import Experiment
from hf_privacy.tasks import task_named

ROW = "row"


@dataclass(frozen=True, eq=False)
class UnlearningRows:
    """Which rows an unlearner gets, and which judge it.

    Attributes
    ----------
    split : ForgetSplit
        Forget, retain and held out, as positions in the experiment's dataset.
    test : int64[T]
        Seen neither in training nor by the unlearner.
    kind : str
        The form of the request; "queue" for several.
    n_requests : int
    unit : str
        What is forgotten as a whole: "row", or the group column where all of it are whole groups.
    groups : int64[N], optional
        Each row's group in the dataset, where rows come in groups.
    """

    split: ForgetSplit
    test: np.ndarray
    kind: str
    n_requests: int = 1
    unit: str = ROW
    groups: np.ndarray | None = None

    @property
    def n_units(self) -> int:
        """How many rows, or groups, are forgotten."""
        forget = self.split.forget
        return len(forget) if self.unit == ROW or self.groups is None else len(np.unique(self.groups[forget]))

    def groups_of(self, part: np.ndarray) -> np.ndarray | None:
        """The groups of some of the rows; None where each row stands for itself."""
        return None if self.groups is None else self.groups[part]

    def digest(self, *, seed: int = 0) -> str:
        """A name for these rows, and for a seed, that says nothing of them: SHA-256."""
        found = hashlib.sha256(str(seed).encode())
        for part in (self.split.forget, self.split.retain, self.split.heldout, self.test):
            found.update(b"|" + part.tobytes())
        return found.hexdigest()

    def remaining(self, split: MembershipSplit) -> MembershipSplit:
        """Who is a member once the request is served: what is retained; the forgotten rows are in no part."""
        population = np.setdiff1d(split.population, self.test)
        return MembershipSplit(
            self.split.retain,
            self.test,
            population,
            n_examples=split.n_examples,
            dataset_fingerprint=split.dataset_fingerprint,
            groups=split.groups,
            unit=split.unit,
        )


def request_of(values: Mapping[str, Any]) -> ForgetRequest:
    """The section's request; a fraction that YAML read as text is a number."""
    given = {name: number_or_same(value) if name == "fraction" else value for name, value in values.items()}
    return ForgetRequest.from_dict(given)


def check_form(recipe: Recipe, request: ForgetRequest) -> None:
    """Refuse a form of request that the recipe's rows cannot answer; no data are needed.

    Raises
    ------
    InputError
        For a class of rows that have none, or a group where no column says whose row it is.
    """
    if request.label is not None and not task_named(recipe.task).has_classes:
        raise InputError(
            f"the request is for label {request.label!r}: the rows of a {recipe.task} model have no classes; name "
            "rows, ids, a group, or a column's value by where"
        )
    if request.group is not None and recipe.data.group_column is None:
        raise InputError(
            "the request is for a group and data.group_column is not set, so no column says whose row it is: name the "
            "rows by where, rows or ids"
        )


def requested_rows(experiment: Experiment, request: ForgetRequest) -> np.ndarray:
    """Members that a request names, as positions in the experiment's dataset: int64, sorted.

    ``ids`` are `hf_privacy.data.example_ids` of the recipe's input and label columns; ``where`` may name any column
    of the source; ``label`` is a class's name or number; ``group`` one value or several of the recipe's
    ``group_column``.

    Raises
    ------
    InputError
        As `ForgetRequest.select`.
    """
    data = experiment.recipe.data
    rows = experiment.rows
    check_form(experiment.recipe, request)
    if not experiment.classes:
        if request.ids is not None:
            rows = rows.select_columns(data.found_in(rows).input_columns)
        return request.select(rows, experiment.split.members, group_column=data.group_column)
    if request.ids is not None:
        rows = rows.select_columns([*data.input_columns, data.label_column])
    if request.where is not None and data.label_column in request.where:
        request = ForgetRequest(label=request.where[data.label_column])  # the column holds numbers of classes by now
    if request.label is not None and str(request.label) in experiment.classes:
        # A number that is a class's name, such as 10 of the labels 0, 5 and 10, is that class.
        request = ForgetRequest(label=experiment.classes.index(str(request.label)))
    elif isinstance(request.label, str):
        raise InputError(f"label is {request.label!r}: the dataset has no class of that name; pass one of its classes")
    labels = experiment.dataset.row_classes
    return request.select(
        rows, experiment.split.members, label_column=data.label_column, labels=labels, group_column=data.group_column
    )


def unit_of(split: MembershipSplit, forget: np.ndarray) -> str:
    """What the rows are as a whole: the name of the group column where they are whole groups, else "row".

    Examples
    --------
    >>> groups = np.array([0, 0, 1, 1])
    >>> split = MembershipSplit(
    ...     [0, 1], [2, 3], [], n_examples=4, dataset_fingerprint="f", groups=groups, unit="author"
    ... )
    >>> unit_of(split, np.array([0, 1])), unit_of(split, np.array([1]))
    ('author', 'row')
    """
    if split.groups is None:
        return ROW
    touched = np.isin(split.groups, split.groups[forget])
    return str(split.unit) if touched.sum() == len(forget) else ROW


def unlearning_rows(
    experiment: Experiment, forget: np.ndarray, *, kind: str = "rows", n_requests: int = 1
) -> UnlearningRows:
    """The rows to forget, to retain, held out and to judge by, as the recipe's section asks.

    Raises
    ------
    InputError
        When everything is to be forgotten, the held-out rows hold members or are none, or no row is left to judge by.
    """
    section, split = experiment.recipe.unlearning, experiment.split
    retain = np.setdiff1d(split.members, forget)
    if len(retain) == 0:
        raise InputError(
            f"the request names all {len(split.members)} members: nothing would be retained; train another model "
            "instead"
        )
    heldout = _heldout(section.heldout, split, seed=section.heldout_seed)
    if section.u_lira and not np.isin(heldout, split.population).all():
        raise InputError(
            "unlearning.u_lira is set and the held-out rows are no population: reference models were trained on them; "
            "set data.population_fraction before training"
        )
    test = np.setdiff1d(split.non_members, heldout)
    if len(test) == 0:
        test = np.setdiff1d(split.population, heldout)
    if len(test) == 0:
        raise InputError(
            "unlearning.heldout takes every row the model was not trained on: leave some to judge the result by"
        )
    return UnlearningRows(
        ForgetSplit(forget, retain, heldout), test, kind, n_requests, unit_of(split, forget), split.groups
    )


def _heldout(wanted: str | list | None, split: MembershipSplit, *, seed: int) -> np.ndarray:
    if isinstance(wanted, list):
        rows = np.unique(np.asarray(wanted, dtype=np.int64))
        if len(rows) == 0 or rows[-1] >= split.n_examples:
            raise InputError(
                f"unlearning.heldout has {len(rows)} rows, the last one {rows[-1] if len(rows) else 'none'}: pass row "
                f"numbers from 0 to {split.n_examples - 1}"
            )
        members = np.isin(rows, split.members).sum()
        if members:
            raise InputError(f"unlearning.heldout holds {members} members: the model was trained on them; name others")
        if split.groups is not None:
            left = np.setdiff1d(np.arange(split.n_examples), rows)
            cut = len(np.intersect1d(split.groups[rows], split.groups[left]))
            if cut:
                raise InputError(
                    f"unlearning.heldout cuts {cut} groups by {split.unit!r} in two: name all rows of a group, or none"
                )
        return rows
    if wanted == "non_members":
        return split.non_members
    if len(split.population):
        return split.population
    if wanted == "population":
        raise InputError(
            "unlearning.heldout is 'population' and the split has none: set data.population_fraction before training, "
            "or leave heldout out, which takes half of the non-members"
        )
    rows = split.non_members
    units = rows if split.groups is None else split.groups[rows]
    if len(np.unique(units)) < 2:
        what = "one non-member" if split.groups is None else f"one group by {split.unit!r} of non-members"
        raise InputError(f"the split has {what}: an unlearner and its judge need at least one each")
    order = np.random.default_rng(seed).permutation(np.unique(units))
    return rows[np.isin(units, order[: len(order) // 2])]
