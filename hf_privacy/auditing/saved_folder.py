"""Audit a saved model that this project did not train, such as a folder of trl's SFTTrainer or a model on the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from hf_privacy.auditing.case import Provenance
from hf_privacy.auditing.inputs import with_classes
from hf_privacy.auditing.recipe_run import base_of_recipe, provenance
from hf_privacy.auditing.whole_audit import audit
from hf_privacy.data import TensorDataset
from hf_privacy.data.two_sides import load_sides
from hf_privacy.errors import InputError
from hf_privacy.models import (
    are_named,
    class_order,
    commit_of,
    load_base,
    load_saved_model,
    names_of,
    position_limit,
)
from hf_privacy.models.elsewhere import card_base, model_folder
from hf_privacy.recipe import Recipe, RunFolder, load_rows, prepare
from hf_privacy.recipe.build import LoadedRows
from hf_privacy.recipe.first_recipe import data_section
from hf_privacy.reports import PrivacyReport, public_name
from hf_privacy.tasks import Task, task_of

_WHO = (
    "nothing says which rows the model was trained on: pass --member-column (data.member_column), a column of true "
    "and false, or --data.split_file, or two sources with --members and --nonmembers in place of --data"
)


def audit_saved_folder(
    model: str | Path,
    data: str | None = None,
    *,
    members: str | None = None,
    nonmembers: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    base: str | None = None,
    replace_report: bool = False,
    show_progress: bool = True,
) -> tuple[PrivacyReport, Recipe]:
    """Audit a saved model or adapter at quick depth, on rows of which it is known who was trained on.

    The columns that the model reads are found as `hf_privacy.recipe.first_recipe.first_recipe` finds them.

    Parameters
    ----------
    model : path or str
        What ``save_pretrained`` wrote, with its tokenizer or image processor: a folder, or a Hub id.
    data : str, optional
        As ``data.name_or_path`` of a recipe.
    members, nonmembers : str, optional
        Two such sources in place of ``data``.
    overrides : mapping, optional
        Dotted keys of a recipe. Of ``data`` one of ``data.member_column`` and ``data.split_file`` says who is a
        member; ``output_dir``, where the report goes, is the folder unless it is set, and ``runs/<name>`` of a Hub
        id. ``model.revision`` is that of the Hub.
    base : str, optional
        The checkpoint it was fine-tuned from, a Hub id or folder: its signals calibrate. By default an adapter's own,
        or the one that the model's card names, where it can be opened and tells the same classes apart.
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
    settings, rows = dict(overrides or {}), None
    if settings.get("audit.depth", "quick") != "quick":
        raise InputError(
            f"audit.depth is {settings['audit.depth']!r}: references are trained by the recipe that the model was "
            "trained by, so write that one and pass it with --config; a saved model alone is audited at quick depth"
        )
    given = [name for name in ("data.member_column", "data.split_file") if settings.get(name) is not None]
    if (members is None) != (nonmembers is None):
        raise InputError("members and nonmembers go together: pass both, one source of each")
    if (data is None) == (members is None):
        raise InputError(
            "--model and --data go together, or --model with --members and --nonmembers: pass one of both"
        )
    if members is not None and nonmembers is not None:
        if given:
            raise InputError(f"{given[0]} is set, and two sources say who is a member: leave one out")
        places = {name: settings.get(f"data.{key}") for name, key in _PLACES.items()}
        rows, settings["data.member_column"] = load_sides(members, nonmembers, **places)
        both = " and ".join(public_name(source) for source in (members, nonmembers))
        settings.setdefault("data.dataset_id", both)
    elif not given:
        raise InputError(_WHO)
    folder = model_folder(str(model), revision=settings.get("model.revision"))
    opened = load_saved_model(folder)
    recipe = _recipe(str(model), folder, task_of(opened), str(data or members), rows, settings)
    loaded = load_rows(recipe, rows=rows)
    dataset, processor = _encoded(loaded, opened, folder, recipe, cut="data.max_length" in settings)
    told = base or getattr(getattr(opened, "active_peft_config", None), "base_model_name_or_path", None)
    said = card_base(folder) if told is None else None
    base_model, caveat = None, None
    if base is not None:
        base_model = _base_model(base, opened, processor)
        if base_model is None:
            raise InputError(f"base is {base!r}, which does not tell the target's classes apart: leave it out")
    elif said is not None and said != str(model):
        try:
            base_model = _base_model(said, opened, processor)
        except InputError:
            caveat = (
                f"The card names the base {public_name(said)}, which could not be opened: no attack compares with it."
            )
    named = told or said
    del opened  # opened again from the folder, whose bytes are what gets hashed
    about = provenance(recipe, caveats=() if caveat is None else (caveat,))
    report = audit(
        folder,
        dataset,
        loaded.split,
        output_dir=recipe.output_dir,
        base_model=base_model,
        input_column=loaded.data.input_columns,
        label_column=loaded.data.label_column,
        repeats=loaded.repeats(loaded.split),
        provenance=replace(about, base_model=named, base_revision=None if named is None else commit_of(named)),
        replace_report=replace_report,
        show_progress=show_progress,
        **asdict(recipe.audit),
    )
    return report, recipe


def audit_saved_by_recipe(
    model: str | Path, recipe: Recipe, *, replace_report: bool = False, show_progress: bool = True
) -> PrivacyReport:
    """Audit a saved model at the depth of a recipe, by which its reference models are trained.

    Parameters
    ----------
    model : path or str
        As `audit_saved_folder` takes it.
    recipe : Recipe
        How the model was trained, elsewhere. Its data section must say who was trained on, by ``member_column`` or
        ``split_file``: a draw of ours is not what another training drew.
    replace_report, show_progress
        As in `hf_privacy.audit`.

    Raises
    ------
    InputError
        When nothing says who is a member, for a model of another task or other classes than the recipe's, and as
        `hf_privacy.audit`.
    """
    told = recipe.data.member_column is not None or recipe.data.split_file is not None
    if not told or recipe.data.member_seed is not None:
        raise InputError(
            "nothing says which rows the model was trained on: the recipe draws them, and this model was trained "
            "elsewhere; set data.member_column or data.split_file, without data.member_seed"
        )
    folder = model_folder(str(model), revision=recipe.model.revision)
    opened = load_saved_model(folder)
    task = task_of(opened)
    if task.name != recipe.task:
        raise InputError(
            f"the model is for {task.name} and the recipe's task is {recipe.task}: pass the recipe it is of"
        )
    experiment = prepare(recipe)
    if task.has_classes:
        _check_classes(names_of(opened.config), experiment.classes)
    del opened
    run = RunFolder(Path(recipe.output_dir))
    return audit(
        folder,
        experiment.dataset,
        experiment.split,
        output_dir=run.path,
        trainer=experiment.trainer(output_dir=run.private),
        base_model=base_of_recipe(experiment),
        repeats=experiment.repeats,
        provenance=_by_recipe(recipe, str(model)),
        replace_report=replace_report,
        show_progress=show_progress,
        **{**asdict(recipe.audit), "engine": None},
    )


_PLACES = {"split": "dataset_split", "name": "config_name", "revision": "revision"}


def _recipe(
    model: str, folder: Path, task: Task, data: str, rows: Dataset | None, settings: Mapping[str, Any]
) -> Recipe:
    from_hub = Path(model) != folder
    values: dict[str, Any] = {
        "task": task.name,
        "output_dir": f"runs/{model.rpartition('/')[2]}" if from_hub else model,
        "model": {"name_or_path": str(folder)},
        "data": data_section(data, rows, task=task.name, settings=settings),
        "audit": {"depth": "quick"},
    }
    if from_hub:
        values["name"] = model
    others = {key: value for key, value in settings.items() if not key.startswith("data.")}
    return Recipe.from_dict(values).override(others)


def _encoded(
    loaded: LoadedRows, model: torch.nn.Module, folder: Path, recipe: Recipe, *, cut: bool
) -> tuple[Dataset | TensorDataset, Any]:
    """The rows as the model takes them where they are texts, cut where it ends; and what encodes them."""
    task = task_of(model)
    processor = None if task.processor is None else task.load_processor(folder)
    if task.processor != "tokenizer":
        return loaded.rows, processor
    rows, column, longest = loaded.rows, "", recipe.data.max_length
    if task.has_classes:
        column = loaded.data.label_column
        rows = with_classes(rows, column, names_of(model.config))
        ends = [processor.model_max_length, position_limit(model), recipe.data.max_length if cut else None]
        longest = min(end for end in ends if end is not None)
    columns = loaded.data.input_columns
    made = task.encode(rows, processor, columns=columns, label_column=column, model=model, max_length=longest)
    return made, processor


def _base_model(base: str, model: torch.nn.Module, processor: Any) -> torch.nn.Module | None:
    """The checkpoint before fine-tuning; None where it does not tell the model's classes apart."""
    task = task_of(model)
    tokenizer = processor if task.processor == "tokenizer" else None
    names = names_of(model.config) if task.has_classes else None
    classes = {"num_labels": None if names is None else len(names), "id2label": names}
    # In the target's own precision: else a difference of the two is one of rounding, too.
    return load_base(base, task=task.name, tokenizer=tokenizer, dtype=model.dtype, **classes)


def _check_classes(theirs: list[str], ours: list[str]) -> None:
    """Refuse a model that numbers its classes otherwise than the recipe."""
    differ = are_named(theirs) and are_named(ours) and class_order(theirs, ours) != list(range(len(ours)))
    if len(theirs) != len(ours) or differ:
        raise InputError(
            f"the model tells {', '.join(theirs[:4])} apart and the recipe {', '.join(ours[:4])}: give "
            "data.label_names in the model's order"
        )


def _by_recipe(recipe: Recipe, model: str) -> Provenance:
    named = recipe.push.repo_id or recipe.name or (model if "/" in model else Path(model).name)
    elsewhere = (
        "The model was trained elsewhere: that it was by this recipe, which the references mirror, is its user's word."
    )
    return replace(provenance(recipe, caveats=(elsewhere,)), model_name=named)
