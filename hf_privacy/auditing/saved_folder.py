"""Audit a saved model that no recipe of this project trained, such as a folder of trl's SFTTrainer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from hf_privacy.auditing.recipe_run import provenance
from hf_privacy.auditing.whole_audit import audit
from hf_privacy.errors import InputError
from hf_privacy.models import load_base, load_saved_model, names_of
from hf_privacy.recipe import Recipe, load_rows
from hf_privacy.reports import PrivacyReport
from hf_privacy.tasks import Task, task_of


def audit_saved_folder(
    folder: str | Path,
    data: str,
    *,
    overrides: Mapping[str, Any] | None = None,
    base: str | None = None,
    replace_report: bool = False,
    show_progress: bool = True,
) -> tuple[PrivacyReport, Recipe]:
    """Audit a saved model or adapter at quick depth, on rows of which it is known who was trained on.

    Parameters
    ----------
    folder : path
        What ``save_pretrained`` wrote, with its tokenizer or image processor.
    data : str
        As ``data.name_or_path`` of a recipe.
    overrides : mapping, optional
        Dotted keys of a recipe. One of ``data.member_column`` and ``data.split_file`` says who is a member;
        ``output_dir``, where the report goes, is the folder unless it is set.
    base : str, optional
        The checkpoint it was fine-tuned from, a Hub id or folder: its signals calibrate. An adapter brings its own.
    replace_report, show_progress
        As in `hf_privacy.audit`.

    Returns
    -------
    report : PrivacyReport
    recipe : Recipe
        What the arguments come to.

    Raises
    ------
    InputError
        When nothing says who is a member, for settings of a full audit, and as `hf_privacy.audit`.
    """
    model = load_saved_model(folder)
    task = task_of(model)
    values = {
        "task": task.name,
        "output_dir": str(folder),
        "model": {"name_or_path": str(folder)},
        "data": {"name_or_path": data},
        "audit": {"depth": "quick"},
    }
    recipe = Recipe.from_dict(values).override(overrides or {})
    if recipe.audit.depth != "quick":
        raise InputError(
            f"audit.depth is {recipe.audit.depth!r}: references are trained by the recipe that the model was trained "
            "by, so write that one and pass it with --config; a saved model alone is audited at quick depth"
        )
    if recipe.data.member_column is None and recipe.data.split_file is None:
        raise InputError(
            "nothing says which rows the model was trained on: pass --data.member_column, a column of true and false, "
            "or --data.split_file"
        )
    loaded = load_rows(recipe)
    dataset, processor = loaded.rows, None if task.processor is None else task.load_processor(folder)
    if not task.has_classes:
        at_most = recipe.data.max_length
        columns = loaded.data.input_columns
        dataset = task.encode(dataset, processor, columns=columns, label_column="", model=model, max_length=at_most)
    base_model = None if base is None else _base_model(base, model, task, processor)
    named = base or getattr(getattr(model, "active_peft_config", None), "base_model_name_or_path", None)
    del model  # opened again from the folder, whose bytes are what gets hashed
    report = audit(
        folder,
        dataset,
        loaded.split,
        output_dir=recipe.output_dir,
        base_model=base_model,
        input_column=loaded.data.input_columns,
        label_column=loaded.data.label_column,
        repeats=loaded.repeats(loaded.split),
        provenance=replace(provenance(recipe), base_model=named, base_revision=None),
        replace_report=replace_report,
        show_progress=show_progress,
        **asdict(recipe.audit),
    )
    return report, recipe


def _base_model(base: str, model: torch.nn.Module, task: Task, processor: Any) -> torch.nn.Module | None:
    tokenizer = processor if task.processor == "tokenizer" else None
    names = names_of(model.config) if task.has_classes else None
    classes = {"num_labels": None if names is None else len(names), "id2label": names}
    # In the target's own precision: else a difference of the two is one of rounding, too.
    found = load_base(base, task=task.name, tokenizer=tokenizer, dtype=model.dtype, **classes)
    if found is None:
        raise InputError(f"base is {base!r}, which does not tell the target's classes apart: leave it out")
    return found
