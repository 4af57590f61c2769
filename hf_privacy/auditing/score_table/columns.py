"""Which columns of a table of scores hold what: by their names, or by what its user says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_privacy.auditing.score_table.read import required
from hf_privacy.errors import InputError

KINDS = ("probability", "log_probability", "logit", "loss")
# How a name says a kind; of several that a table holds, the earlier form and kind is read: it tells more.
_WORDS = {
    "logit": ("logit",),
    "log_probability": ("log_probability", "log_prob", "logprob"),
    "loss": ("loss",),
    "probability": ("probability", "prob"),
}
_LISTS = {
    "logit": ("logits",),
    "log_probability": ("log_probabilities", "log_probs", "logprobs"),
    "probability": ("probabilities", "probs"),
}
_REFERENCE = re.compile(r"reference_(\d+)_(.+)")
_MANY_CLASSES = 100
FORMS = (
    "probability_<class>, log_probability_<class> or logit_<class> (one a class), a column of lists called "
    "probabilities, log_probabilities or logits, or of the true class alone probability, log_probability or loss"
)


@dataclass(frozen=True)
class ScoreColumns:
    """The columns that hold the scores of one model.

    Attributes
    ----------
    kind : {"probability", "log_probability", "logit", "loss"}
    names : tuple of str
    classes : tuple of str
        What the columns' names call the classes; empty where they are lists, or of the true class alone.
    """

    kind: str
    names: tuple[str, ...]
    classes: tuple[str, ...] = ()


def score_columns(table: pa.Table, *, columns: Sequence[str] = (), kind: str | None = None) -> ScoreColumns:
    """Find the columns of scores.

    Parameters
    ----------
    table : pyarrow.Table
    columns : sequence of str, optional
        As the user names them: one a class, one of lists, or one of the true class; found by their names otherwise.
    kind : str, optional
        One of `KINDS`; needed with ``columns`` whose names do not say it.

    Raises
    ------
    InputError
        For an unknown kind, a column that is not there, or none that holds scores.

    Examples
    --------
    >>> found = score_columns(pa.table({"prob_cat": [0.5], "prob_dog": [0.5], "label": ["cat"]}))
    >>> found.kind, found.classes
    ('probability', ('cat', 'dog'))
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"score_kind is {kind!r}: pass {', '.join(KINDS[:-1])} or {KINDS[-1]}")
    if columns:
        for name in columns:
            required(table, name, argument="score_columns")
        return _named(table, tuple(dict.fromkeys(columns)), kind)
    kinds = [kind] if kind is not None else list(_WORDS)
    for one in kinds:
        for name in _LISTS.get(one, ()):
            if name in table.column_names:
                return ScoreColumns(one, (name,))
        found = [name for name in table.column_names if _suffix(name, one)]
        if len(found) > 1 and one != "loss":
            return ScoreColumns(one, tuple(found), tuple(_suffix(name, one) for name in found))
    for one in kinds:
        for name in _WORDS[one]:
            if name in table.column_names and one != "logit":
                return ScoreColumns(one, (name,))
    of_kind = "" if kind is None else f" of the kind {kind}"
    raise InputError(
        f"no column holds scores{of_kind} by its name: call them {FORMS}, or name them with --score-columns and "
        f"--score-kind; the table has the columns {', '.join(table.column_names[:20])}"
    )


def reference_columns(table: pa.Table) -> list[tuple[ScoreColumns, str]]:
    """Of each reference model, by its number: its score of the true class, and the column that says its members.

    Raises
    ------
    InputError
        For a reference that lacks one of the two, names that say nothing, and a single reference.
    """
    by_number: dict[int, dict[str, str]] = {}
    for name in table.column_names:
        match = _REFERENCE.fullmatch(name)
        if match is not None:
            by_number.setdefault(int(match[1]), {})[match[2]] = name
    found = []
    for number, parts in sorted(by_number.items()):
        scores = [
            ScoreColumns(kind, (parts[word],))
            for kind, words in _WORDS.items()
            for word in words
            if word in parts and kind != "logit"
        ]
        if not scores or "member" not in parts:
            raise InputError(
                f"reference {number} needs two columns, reference_{number}_member and its score of the true class, "
                f"reference_{number}_probability, _log_probability or _loss; the table has "
                f"{', '.join(parts.values())}"
            )
        found.append((scores[0], parts["member"]))
    if len(found) == 1:
        raise InputError("the table holds the scores of 1 reference model: at least 2 are compared with, or none")
    return found


def class_numbers(table: pa.Table, column: str, classes: Sequence[str], n_classes: int) -> np.ndarray:
    """The true class of each row, as a column's number: int64 [N].

    Parameters
    ----------
    table : pyarrow.Table
    column : str
    classes : sequence of str
        As the columns' names call them; none where only their number is known.
    n_classes : int

    Raises
    ------
    InputError
        For a column that is missing, rows without a label, and labels that are no class of the table.

    Examples
    --------
    >>> class_numbers(pa.table({"label": ["dog", "cat"]}), "label", ["cat", "dog"], 2)
    array([1, 0])
    """
    values, places = _different(table, column)
    known = {name: number for number, name in enumerate(classes)}
    if classes and all(str(value) in known for value in values):
        numbers = [known[str(value)] for value in values]
    elif all(isinstance(value, int) for value in values) and not any(map(_is_whole, classes)):
        outside = [value for value in values if not 0 <= value < n_classes]
        if outside:
            raise InputError(
                f"label {column!r} holds {outside[0]} and the table scores {n_classes} classes (0 to "
                f"{n_classes - 1}): score every class, or drop those rows"
            )
        numbers = [int(value) for value in values]
    else:
        unknown = next((value for value in values if str(value) not in known), values[0])
        shown = ", ".join(classes[:6]) + (", …" if len(classes) > 6 else "") or f"0 to {n_classes - 1}"
        raise InputError(
            f"label {column!r} holds {unknown!r} and the table scores the classes {shown}: name the columns by the "
            "labels, such as probability_<label>, or number the labels from 0"
        )
    return np.array(numbers, dtype=np.int64)[places]


def own_classes(table: pa.Table, column: str) -> tuple[np.ndarray, list[str]]:
    """Classes of a table that scores the true one alone, from the labels themselves: int64 [N], and their names.

    Raises
    ------
    InputError
        As `class_numbers`; also for about as many classes as rows.
    """
    values, places = _different(table, column)
    if len(values) > max(_MANY_CLASSES, table.num_rows // 2):
        raise InputError(
            f"label {column!r} has {len(values):,} different values in {table.num_rows:,} rows: these are no classes"
        )
    order = sorted(range(len(values)), key=lambda place: (isinstance(values[place], str), values[place]))
    numbers = np.empty(len(values), dtype=np.int64)
    numbers[order] = np.arange(len(values))
    return numbers[places], [str(values[place]) for place in order]


def _named(table: pa.Table, columns: tuple[str, ...], kind: str | None) -> ScoreColumns:
    said = kind or next((one for one in _WORDS if all(_says(name, one) for name in columns)), None)
    if said is None:
        raise InputError(
            f"score_columns are {', '.join(columns[:4])}, whose names do not say what they hold: pass --score-kind "
            f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
        )
    if len(columns) == 1:
        is_list = pa.types.is_nested(table[columns[0]].type)
        if (said == "logit" and not is_list) or (said == "loss" and is_list):
            raise InputError(
                f"score_columns is {columns[0]} and its kind {said}: of the true class alone pass a probability, a "
                "log-probability or a loss; logits are needed of every class"
            )
        return ScoreColumns(said, columns)
    if said == "loss":
        raise InputError(f"score_columns are {', '.join(columns[:4])} and their kind loss: a loss is one column")
    return ScoreColumns(said, columns, tuple(_suffix(name, said) or name for name in columns))


def _says(name: str, kind: str) -> bool:
    return bool(_suffix(name, kind)) or name in (*_WORDS[kind], *_LISTS.get(kind, ()))


def _suffix(name: str, kind: str) -> str:
    """The class that a column's name ends in; empty where it is none of this kind."""
    found = [name.removeprefix(f"{word}_") for word in _WORDS[kind] if name.startswith(f"{word}_")]
    return min(found, key=len, default="")


def _different(table: pa.Table, column: str) -> tuple[list[object], np.ndarray]:
    """The different labels, whole numbers as such, and the place of each row's among them."""
    values = required(table, column, argument="label")
    if values.null_count:
        raise InputError(f"label {column!r} is empty in {values.null_count:,} rows: drop those rows")
    if pa.types.is_nested(values.type):
        raise InputError(f"label {column!r} holds lists: pass one class a row, its name or its number")
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    different = pc.unique(values)
    places = pc.index_in(values, value_set=different).to_numpy().astype(np.int64)
    return [_plain(value) for value in different.to_pylist()], places


def _plain(value: object) -> object:
    """Truth values, and whole numbers that a file wrote as 1.0, as whole numbers."""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    return value


def _is_whole(name: str) -> bool:
    return name.removeprefix("-").isdecimal()
