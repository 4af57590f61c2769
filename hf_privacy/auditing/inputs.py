"""What an audit is given, made into a model in memory and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_privacy.data import (
    TensorDataset,
    check_columns,
    check_labels,
    class_names,
    language_columns,
    number_classes,
    refuse_without_rows,
)
from hf_privacy.data.classes import with_labels
from hf_privacy.data.columns import is_integer_column
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import (
    are_named,
    class_order,
    load_image_processor,
    load_saved_model,
    load_tokenizer,
    names_of,
)
from hf_privacy.tasks import TASKS, Task, task_of

Target = PrivacyTrainer | torch.nn.Module | str | Path


def resolve_model(target: Target, trainer: PrivacyTrainer | None = None) -> tuple[torch.nn.Module, Path | None]:
    """The model, and the folder it is saved in, if it is one: the folder's own bytes are what gets hashed.

    With the trainer of its recipe the model goes to that one's device, where the references are trained and asked:
    all of an audit's figures are made by the same arithmetic, whichever door the target came through. Without one a
    folder goes to the GPU if there is one, and a model stays where it is.
    """
    if isinstance(target, PrivacyTrainer):
        return target.accelerator.unwrap_model(target.model), None
    if isinstance(target, torch.nn.Module):
        return (target if trainer is None else target.to(trainer.accelerator.device)), None
    if isinstance(target, (str, Path)):
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return load_saved_model(target).to(device if trainer is None else trainer.accelerator.device), Path(target)
    raise InputError(f"trainer_or_model is {type(target).__name__}: pass a PrivacyTrainer, a model or a folder")


def input_column_of(dataset: datasets.Dataset, label_column: str = "label") -> str:
    """The one column that is no label and holds images, text or number lists.

    Raises
    ------
    InputError
        If there is none or more than one.
    """
    candidates = [
        name
        for name, feature in dataset.features.items()
        if name != label_column and (_kind(feature) in ("image", "text", "features"))
    ]
    if len(candidates) != 1:
        raise InputError(
            f"dataset has {len(candidates)} columns that could be the input ({', '.join(candidates) or 'none'}): name "
            "one with input_column"
        )
    return candidates[0]


def input_columns_of(
    dataset: datasets.Dataset, task: Task, input_column: str | Sequence[str] | None, label_column: str
) -> list[str]:
    """The input columns: those named, or found by what a model of `task` reads.

    Raises
    ------
    InputError
        As `input_column_of` or, without classes, `hf_privacy.data.language_columns`.
    """
    if not task.has_classes:
        return language_columns(dataset, input_column)
    column = input_column or input_column_of(dataset, label_column)
    return [column] if isinstance(column, str) else list(column)


def to_tensors(
    dataset: TensorDataset | datasets.Dataset,
    target: Target,
    model: torch.nn.Module,
    *,
    input_column: str | Sequence[str] | None,
    label_column: str,
    classes: Sequence[str],
    trainer: PrivacyTrainer | None = None,
) -> TensorDataset:
    """Encode a `datasets.Dataset` with the target's own processor, for its model, labels by the names of its classes.

    Tensors pass through. A language model's rows are cut where its trainer's were: the rest was not trained on.
    """
    if isinstance(dataset, TensorDataset):
        return dataset
    refuse_without_rows(dataset, argument="dataset")
    if not isinstance(dataset, datasets.Dataset):
        raise InputError(f"dataset is {type(dataset).__name__}: pass a datasets.Dataset or a TensorDataset")
    task = task_of(model)
    columns = input_columns_of(dataset, task, input_column, label_column)
    if not task.has_classes:
        trained = None if trainer is None else trainer.train_dataset
        was_cut = isinstance(trained, TensorDataset) and trained.truncated
        longest = trained.row_shape("input_ids")[0] if was_cut else None
        processor = _processor(target, task)
        return task.encode(dataset, processor, columns=columns, label_column="", model=model, max_length=longest)
    check_columns(dataset, columns, label_column)
    kinds = {_kind(dataset.features[name]) for name in columns}
    kind = kinds.pop() if len(kinds) == 1 and kinds != {"scalar"} else "features"
    # The model's own task where it reads such a column; what the model cannot take is said where it is tried.
    task = next(task for task in (task, *TASKS.values()) if task.column == kind)
    processor = _processor(target, task)
    dataset = with_classes(dataset, label_column, classes)
    return task.encode(dataset, processor, columns=columns, label_column=label_column, model=model)


def class_names_of(model: torch.nn.Module, trainer: PrivacyTrainer | None) -> list[str]:
    """What the model calls its classes; an adapter's folder does not say, the trainer of its recipe does."""
    names = names_of(model.config)
    if trainer is not None and not are_named(names):
        theirs = names_of(trainer.accelerator.unwrap_model(trainer.model).config)
        names = theirs if len(theirs) == len(names) else names
    return names


def check_base_classes(base: torch.nn.Module, names: Sequence[str]) -> None:
    """Refuse a base checkpoint that tells other classes apart than the target."""
    if getattr(base, "config", None) is None:
        return
    theirs = names_of(base.config)
    if len(theirs) != len(names) or (
        are_named(theirs) and are_named(names) and class_order(theirs, names) != list(range(len(names)))
    ):
        raise InputError(
            f"base_model has the classes {', '.join(theirs[:4])} and the target {', '.join(names[:4])}: pass the "
            "checkpoint loaded with the target's names, hf_privacy.models.load_base_classifier(…, id2label=…)"
        )


def with_classes(dataset: datasets.Dataset, label_column: str, classes: Sequence[str]) -> datasets.Dataset:
    """The dataset with its labels numbered as the model numbers its classes: by name, where both have names.

    Raises
    ------
    InputError
        For a class that the model does not have.
    """
    rows = number_classes(dataset, label_column)
    ours = class_names(rows, label_column)
    order = class_order(classes, ours)
    if order is None and is_integer_column(dataset.features[label_column]) and not are_named(ours):
        rows = dataset  # the numbers are the model's own
    elif order is None and are_named(classes) and are_named(ours):
        unknown = [name for name in ours if class_order(classes, [name]) is None] or ours
        raise InputError(
            f"label_column {label_column!r} has the class {unknown[0]!r} and the model tells {', '.join(classes[:4])} "
            "apart: name the dataset's classes as the model does, with hf_privacy.data.number_classes"
        )
    if order is not None and order != list(range(len(ours))):
        labels = np.array(order)[check_labels(rows, label_column)]
        rows = with_labels(rows, label_column, labels, datasets.ClassLabel(names=list(classes)))
    check_labels(rows, label_column, len(classes))
    return rows


def processor_of(target: Target, trainer: PrivacyTrainer | None) -> Any:
    """The image processor the data went through: the trainer's, or that of the folder; None for a bare model."""
    if trainer is not None and trainer.processing_class is not None:
        return trainer.processing_class
    return load_image_processor(target) if isinstance(target, (str, Path)) else None


def tokenizer_of(target: Target, trainer: PrivacyTrainer | None) -> PreTrainedTokenizerBase | None:
    """The tokenizer that the rows went through: the trainer's, or that of the folder; None where neither has one."""
    if trainer is not None and isinstance(trainer.processing_class, PreTrainedTokenizerBase):
        return trainer.processing_class
    if not isinstance(target, (str, Path)):
        return None
    try:
        return load_tokenizer(target)
    except InputError:
        return None


def _kind(feature: Any) -> str:
    if isinstance(feature, datasets.Image):
        return "image"
    if isinstance(feature, datasets.Value):
        return "text" if "string" in feature.dtype else "scalar"
    return "features"


def _processor(target: Target, task: Task) -> Any:
    wanted = task.processor
    if wanted is None:
        return None
    if isinstance(target, PrivacyTrainer) and target.processing_class is not None:
        processor = target.processing_class
    elif isinstance(target, (str, Path)):
        processor = task.load_processor(target)
    else:
        raise InputError(
            f"the target brings no {wanted} to encode dataset with: encode it first (hf_privacy.data), "
            "or pass a folder or a trainer with processing_class"
        )
    if isinstance(processor, PreTrainedTokenizerBase) != (wanted == "tokenizer"):
        raise InputError(f"dataset needs a {wanted} and the target has {type(processor).__name__}: check input_column")
    return processor
