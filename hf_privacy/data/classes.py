"""Which classes a label column tells apart: whole numbers from 0, and a name for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Value

from hf_privacy.data.columns import check_labels, is_integer_column, label_values, require_column
from hf_privacy.errors import InputError

Names = Sequence[str] | Mapping[Any, str]
# A column with more classes than this, and more than one for every two rows, holds something else.
_MANY_CLASSES = 100


def number_classes(dataset: Dataset, label_column: str = "label", *, names: Names | None = None) -> Dataset:
    """The dataset with labels that count its classes from 0 and know their names.

    A ClassLabel column stays as it is. The values that occur in a column of whole numbers or of strings are the
    classes, sorted, and their own names: 0, 5, 10 become the classes 0, 1, 2, called "0", "5", "10". A column that
    counts from 0 already stays as it is.

    Parameters
    ----------
    dataset : Dataset
    label_column : str
    names : sequence of str or mapping, optional
        A sequence that holds every name the column has (strings, a ClassLabel's names, numbers as text) gives the
        classes their order, and may name classes without rows. Any other sequence names the numbers: name i is that
        of label i or, where as many are given as labels occur, of the i-th label. A mapping gives a value its name.

    Returns
    -------
    Dataset
        The same rows, columns and order; the labels as a ClassLabel column wherever their values changed.

    Raises
    ------
    InputError
        Unknown column; labels that are missing, negative in a ClassLabel column, or neither whole numbers nor strings;
        about as many classes as rows; names that are no text, not different, or do not cover the labels.

    Examples
    --------
    >>> rows = number_classes(Dataset.from_dict({"label": ["sad", "glad", "sad"]}))
    >>> rows["label"][:], rows.features["label"].names
    ([1, 0, 1], ['glad', 'sad'])
    >>> number_classes(Dataset.from_dict({"label": [7_000_000, -1]}), names=["no", "yes"]).features["label"].names
    ['no', 'yes']
    """
    require_column(dataset, label_column, argument="label_column")
    feature = dataset.features[label_column]
    if isinstance(feature, ClassLabel) and feature.names:
        numbers = check_labels(dataset, label_column)
        values: list[Any] = list(feature.names)
    else:
        values, numbers = _values(dataset, label_column)
        if names is None and values == list(range(len(values))):
            return dataset
        if len(values) > max(_MANY_CLASSES, len(dataset) // 2):
            raise InputError(
                f"label_column {label_column!r} has {len(values):,} different values in {len(dataset):,} rows: these "
                "are no classes; use another column"
            )
    if names is None:
        if isinstance(feature, ClassLabel) and feature.names:
            return dataset
        return with_labels(dataset, label_column, numbers, ClassLabel(names=[str(value) for value in values]))
    order, called = _named(values, names, label_column, numbered=is_integer_column(feature))
    place = np.array([order.index(value) for value in range(len(values))], dtype=np.int64)
    return with_labels(dataset, label_column, place[numbers], ClassLabel(names=called))


def with_labels(dataset: Dataset, label_column: str, labels: np.ndarray, feature: Any) -> Dataset:
    """The same rows and columns, with these labels in place of the column's own."""
    columns = dataset.column_names
    added = dataset.add_column("labels to be", labels, feature=feature).remove_columns(label_column)
    return added.rename_column("labels to be", label_column).select_columns(columns)


def class_names(dataset: Dataset, label_column: str = "label") -> list[str]:
    """Names of the classes, in the order of their numbers.

    A ClassLabel column brings its names; the classes of a column of whole numbers from 0 are called "0", "1", ….

    Raises
    ------
    InputError
        Unknown column, or labels that `number_classes` would change.

    Examples
    --------
    >>> class_names(Dataset.from_dict({"label": [0, 1, 0]}))
    ['0', '1']
    """
    require_column(dataset, label_column, argument="label_column")
    feature = dataset.features[label_column]
    if isinstance(feature, ClassLabel) and feature.names:
        return list(feature.names)
    values, _ = _values(dataset, label_column)
    if values != list(range(len(values))):
        shown = ", ".join(str(value) for value in values[:3]) + (", …" if len(values) > 3 else "")
        raise InputError(
            f"label_column {label_column!r} has the labels {shown}, which do not count from 0: number them with "
            f"hf_privacy.data.number_classes(dataset, {label_column!r})"
        )
    return [str(value) for value in values]


def _values(dataset: Dataset, label_column: str) -> tuple[list[Any], np.ndarray]:
    """The different labels, sorted, and for each row the place of its label among them: int64[N]."""
    feature = dataset.features[label_column]
    is_text = isinstance(feature, Value) and "string" in feature.dtype
    if not (is_text or is_integer_column(feature)):
        seen = feature.dtype if isinstance(feature, Value) else type(feature).__name__
        raise InputError(
            f"label_column {label_column!r} holds {seen} values and class labels are whole numbers or text: use "
            "another column"
        )
    seen, place = np.unique(label_values(dataset, label_column), return_inverse=True)
    return seen.tolist(), place.astype(np.int64)


def _named(
    values: list[Any], names: Names, label_column: str, *, numbered: bool
) -> tuple[list[int | None], list[str]]:
    """For each class that ``names`` makes which of ``values`` it is (None for one without rows), and its name."""
    given: list[tuple[Any, Any]] = list(names.items() if isinstance(names, Mapping) else enumerate(names))
    texts: list[Any] = [text for _, text in given]
    texts = [str(text) if isinstance(text, int) and not isinstance(text, bool) else text for text in texts]
    if isinstance(names, str) or not all(isinstance(text, str) and text for text in texts):
        raise InputError(f"label_names is {names!r}: pass a text for each class; yes, no, on and off need quotes")
    if len(set(texts)) != len(texts):
        twice = next(text for position, text in enumerate(texts) if text in texts[:position])
        raise InputError(f"label_names holds {twice!r} twice: give each class a name of its own")
    shown = {str(value): number for number, value in enumerate(values)}
    if isinstance(names, Mapping):
        keys = [str(key) for key, _ in given]
        if all(isinstance(value, int) for value in values) and all(key.removeprefix("-").isdecimal() for key in keys):
            sequence = sorted(range(len(keys)), key=lambda position: int(keys[position]))
            keys, texts = [keys[position] for position in sequence], [texts[position] for position in sequence]
        order: list[int | None] = [shown.get(key) for key in keys]
    elif set(shown) <= set(texts):
        order = [shown.get(text) for text in texts]
    elif all(isinstance(value, int) for value in values) and values[0] >= 0 and values[-1] < len(texts):
        order = [shown.get(str(number)) for number in range(len(texts))]
    elif len(texts) == len(values) and numbered:
        order = list(range(len(texts)))
    else:
        order = []
    missing = [str(values[number]) for number in range(len(values)) if number not in order]
    if missing:
        raise InputError(
            f"label_names has {len(texts)} names and label_column {label_column!r} has {len(values)} classes: no name "
            f"is given for {', '.join(map(repr, missing[:3]))}"
        )
    return order, texts
