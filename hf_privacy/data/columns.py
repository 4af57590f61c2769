"""Checks on the columns of a dataset, before anything is trained on them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Image, IterableDataset, IterableDatasetDict, Value

from hf_privacy.errors import InputError


def require_rows(dataset: Any, *, argument: str = "dataset") -> None:
    """Check that this is a dataset whose rows have numbers, which membership is said by.

    Raises
    ------
    InputError
        For a dictionary of splits, a streamed dataset, or anything that is no `datasets.Dataset`.

    Examples
    --------
    >>> require_rows(DatasetDict(train=Dataset.from_dict({"x": [1]})))
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: dataset holds the splits train: pass one of them, such as dataset['train']
    """
    refuse_without_rows(dataset, argument=argument)
    if not isinstance(dataset, Dataset):
        raise InputError(f"{argument} is {type(dataset).__name__}: pass a datasets.Dataset")


def refuse_without_rows(dataset: Any, *, argument: str) -> None:
    """Refuse, as `require_rows` does, splits and streams; a trainer takes datasets of any other kind.

    Raises
    ------
    InputError
        For a dictionary of splits or a streamed dataset.
    """
    if isinstance(dataset, (DatasetDict, IterableDatasetDict)):
        raise InputError(
            f"{argument} holds the splits {', '.join(map(str, dataset))}: pass one of them, such as "
            f"{argument}[{next(iter(dataset), 'train')!r}]"
        )
    # A dataset of torch that is only iterated has no length; torch is not imported to ask.
    if isinstance(dataset, IterableDataset) or (hasattr(dataset, "__iter__") and not hasattr(dataset, "__len__")):
        raise InputError(
            f"{argument} is iterable (streamed), and membership needs a length and row numbers: load it with "
            "streaming=False, or read it once with hf_privacy.data.read_stream"
        )


def require_column(dataset: Dataset, column: str, *, argument: str) -> str:
    """Return `column` when the dataset has it.

    Raises
    ------
    InputError
        Names the argument, the columns there are and the closest of them.
    """
    require_rows(dataset)
    if column not in dataset.column_names:
        close = difflib.get_close_matches(column, dataset.column_names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        there = ", ".join(dataset.column_names)
        raise InputError(f"{argument} is {column!r} and the dataset has the columns {there}{hint}")
    return column


def check_columns(dataset: Dataset, input_column: str | Sequence[str], label_column: str | None = None) -> None:
    """Check that the dataset has rows, the input column or columns, and the label column.

    Raises
    ------
    InputError
        Where it has not.

    Examples
    --------
    >>> check_columns(Dataset.from_dict({"text": ["a"], "label": [0]}), "text", "lable")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: label_column is 'lable' and the dataset has the columns text, label; ...
    """
    require_rows(dataset)
    for column in [input_column] if isinstance(input_column, str) else list(input_column):
        require_column(dataset, column, argument="input_column")
    if label_column is not None:
        require_column(dataset, label_column, argument="label_column")
    if len(dataset) == 0:
        raise InputError("the dataset has no rows: choose another split or source")


def check_labels(dataset: Dataset, label_column: str = "label", n_classes: int | None = None) -> np.ndarray:
    """Labels as int64[N], each in [0, n_classes).

    Parameters
    ----------
    n_classes : int, optional
        Number of classes of the model; no upper limit without it.

    Raises
    ------
    InputError
        Unknown column; labels that are missing, not integers, negative, or outside the model's range.

    Examples
    --------
    >>> check_labels(Dataset.from_dict({"label": [0, 7]}), "label", 5)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: label_column 'label' goes up to 7 and the model has 5 classes (0 to 4): ...
    """
    require_column(dataset, label_column, argument="label_column")
    feature = dataset.features[label_column]
    if not is_integer_column(feature):
        seen = feature.dtype if isinstance(feature, Value) else type(feature).__name__
        raise InputError(
            f"label_column {label_column!r} holds {seen} values and class labels are integers: use another column, or "
            f"hf_privacy.data.number_classes(dataset, {label_column!r})"
        )
    labels = label_values(dataset, label_column).astype(np.int64)
    if labels.min(initial=0) < 0:
        raise InputError(
            f"label_column {label_column!r} has {int((labels < 0).sum())} negative labels (-1 marks a hidden test "
            "label): use a split with labels, drop those rows, or number them with hf_privacy.data.number_classes"
        )
    if n_classes is not None and labels.max(initial=-1) >= n_classes:
        raise InputError(
            f"label_column {label_column!r} goes up to {labels.max()} and the model has {n_classes} classes "
            f"(0 to {n_classes - 1}): build the model with num_labels={labels.max() + 1}, or use another column"
        )
    return labels


def label_values(dataset: Dataset, label_column: str, *, or_else: str = "") -> np.ndarray:
    """The values of a label column as they are [N]; missing ones are an `InputError`."""
    column = dataset.with_format("arrow").select_columns([label_column])[:].column(0)
    if column.null_count:
        raise InputError(
            f"label_column {label_column!r} has {column.null_count} missing labels: drop those rows{or_else}"
        )
    return column.to_numpy()


def is_text(feature: Any) -> bool:
    """Whether a column holds texts."""
    return isinstance(feature, Value) and "string" in feature.dtype


def is_chat(feature: Any) -> bool:
    """Whether a column holds conversations: lists of messages with a role and a content.

    Examples
    --------
    >>> rows = Dataset.from_dict({"messages": [[{"role": "user", "content": "Who?"}]]})
    >>> is_chat(rows.features["messages"])
    True
    """
    inner = getattr(feature, "feature", None)
    return isinstance(inner, dict) and {"role", "content"} <= set(inner)


def is_integer_column(feature: Any) -> bool:
    """Whether a column holds whole numbers or truth values."""
    return isinstance(feature, ClassLabel) or (
        isinstance(feature, Value) and (feature.dtype.startswith(("int", "uint")) or feature.dtype == "bool")
    )


def image_shape(dataset: Dataset, image_column: str = "image") -> tuple[int, int, int]:
    """Shape (channels, height, width) of the first image: 1 channel for grey modes, 3 for all others.

    Raises
    ------
    InputError
        Unknown column, or one without images.
    """
    require_image_column(dataset, image_column)
    image = dataset[0][image_column]
    return (1 if image.mode in ("1", "L") else 3, image.height, image.width)


def require_image_column(dataset: Dataset, image_column: str) -> str:
    """Return `image_column` when it is there, holds decoded images and at least one row."""
    require_column(dataset, image_column, argument="image_column")
    feature = dataset.features[image_column]
    if not isinstance(feature, Image):
        raise InputError(
            f"image_column {image_column!r} holds {feature} and not images: use another column, or "
            f"dataset.cast_column({image_column!r}, datasets.Image())"
        )
    if not feature.decode:
        raise InputError(f"image_column {image_column!r} is not decoded: cast it to datasets.Image(decode=True)")
    if len(dataset) == 0:
        raise InputError("the dataset has no rows: choose another split or source")
    return image_column


def numeric_matrix(dataset: Dataset, feature_column: str | Sequence[str]) -> np.ndarray:
    """Numeric columns as float64[N, D].

    Parameters
    ----------
    feature_column : str or sequence of str
        One column of number lists of equal length, or several columns of single numbers, in this order.

    Raises
    ------
    InputError
        Unknown or empty columns, lists of different lengths, or values that are missing or not finite.
    """
    columns = [feature_column] if isinstance(feature_column, str) else list(feature_column)
    check_columns(dataset, columns)
    shown = ", ".join(columns)
    blocks = []
    for column in columns:
        try:
            block = np.asarray(dataset.with_format("numpy", columns=[column])[:][column], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"feature_column {column!r} holds no numbers, or lists of different lengths: use a column with one "
                "number, or one list of equal length, for each row"
            ) from error
        blocks.append(block.reshape(len(block), -1))
    values = np.concatenate(blocks, axis=1)
    broken = int((~np.isfinite(values)).any(axis=1).sum())
    if broken:
        raise InputError(
            f"feature_column {shown!r} has {broken} rows with missing or infinite values: drop or fill them"
        )
    return values
