"""The first recipe for a model and data: what their columns and sizes tell, and what else is usual."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_privacy.data import class_names, image_shape, load_dataset_from, number_classes
from hf_privacy.data.columns import require_column
from hf_privacy.data.look import ANSWERS, LABELS, PAIRS, Column, look_at, nameless_texts
from hf_privacy.defenses import trainer_class
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import Recipe, check_keys, set_dotted
from hf_privacy.recipe.experiment import training_arguments
from hf_privacy.recipe.keys import section_keys
from hf_privacy.tasks import TASKS, Task, task_named

FEWEST_ROWS = 20  # fewer show nothing of a leak
_MANY_ROWS = 20_000  # that a first try need not take
_ENOUGH_FOR_POPULATION = 200
_SMALL_IMAGE = 64  # pixels; larger ones want a pretrained model
# A sentence encoder of 22.7 M parameters, a ConvNeXt of 3.7 M and a language model of 135 M: without BatchNorm, so
# that every defence trains them.
_TEXT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_IMAGE_MODEL = "timm/convnext_atto.d2_in1k"
_LANGUAGE_MODEL = "HuggingFaceTB/SmolLM2-135M"


@dataclass
class FirstRecipe:
    """What `first_recipe` found.

    Attributes
    ----------
    values : dict
        The recipe.
    found : list of str
        In sentences what the data and model are, for the head of the file.
    notes : dict of str to str
        Remarks on keys, by their dotted names.
    """

    values: dict[str, Any]
    found: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    def set(self, key: str, value: Any, note: str | None = None) -> None:
        """Set a key unless the user did."""
        place = self.values
        *parents, leaf = key.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place.setdefault(leaf, value)
        if note is not None:
            self.notes[key] = note

    def has(self, key: str) -> bool:
        """Whether a key is set, by the user or here."""
        place: Any = self.values
        for part in key.split("."):
            if not isinstance(place, Mapping) or part not in place:
                return False
            place = place[part]
        return True


def first_recipe(
    data: str, *, label: str | None = None, model: str | None = None, settings: Mapping[str, Any] | None = None
) -> FirstRecipe:
    """Look at data and model, and fill in a recipe that trains and audits as it stands.

    Parameters
    ----------
    data : str
        "digits", a Hub id, or a local file or folder (`hf_privacy.data.load_dataset_from`).
    label : str, optional
        The column of the classes; found by its name or type otherwise. Rows of text without one are for a language
        model.
    model : str, optional
        A Hub id or folder; by default a small one that suits the task.
    settings : mapping, optional
        Dotted keys of the recipe (``{"defense": "dp", "task": …}``); what is set is not looked for.

    Raises
    ------
    InputError
        For data that cannot be read, columns that are not there, a column that holds no classes, too few rows, a model
        or a defence that does not go with them.

    Examples
    --------
    >>> made = first_recipe("digits")
    >>> made.values["task"], made.values["model"]["name_or_path"], made.values["data"]["input_column"]
    ('image-classification', 'convnext', 'image')
    """
    made = FirstRecipe({})
    for key, value in (settings or {}).items():
        set_dotted(made.values, key, value)
    if label is not None:
        made.set("data.label_column", label)
    check_keys(made.values)
    if made.has("task"):
        task_named(made.values["task"])
    trainer_class(made.values.get("defense", "none"))
    rows = _rows(made, data)
    columns = look_at(rows)
    config = None if model is None or made.has("model.from_scratch") else _configuration(made, model)
    task = _task(made, columns, config, rows)
    made.set("task", task.name)
    made.values = {"task": made.values.pop("task"), **made.values}
    if task.has_classes:
        _classes(made, rows, columns)
    _inputs(made, task, rows, columns)
    _model(made, task, rows, model, config)
    _split(made, task, rows, columns)
    _training(made, task, len(rows))
    _audit(made, task)
    stem = re.sub(r"[^\w.-]+", "_", Path(data).stem if Path(data).exists() else data.rpartition("/")[2]) or "model"
    defense = made.values.get("defense", "none")
    name = stem if defense == "none" else f"{stem}_{str(defense).rpartition(':')[2]}"
    made.set("name", name)
    made.set("output_dir", f"runs/{name}")
    if Path(data).exists():
        made.set("data.dataset_id", stem, "what report and card call the data, in place of its path")
    recipe = Recipe.from_dict(made.values)
    training_arguments(recipe, recipe.output_dir)  # the defence is for the task, and takes what it is given
    return made


# ---- the data ----


def data_section(data: str, rows: Dataset | None, *, task: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The ``data`` section for rows that a saved model of a known task reads, with its columns found.

    Parameters
    ----------
    data : str
        As `first_recipe` takes it.
    rows : Dataset, optional
        Where they are loaded already.
    task : str
        What the model is for.
    settings : mapping
        Dotted keys of the recipe; what is set is not looked for.

    Raises
    ------
    InputError
        As `first_recipe`.
    """
    made = FirstRecipe({})
    for key, value in settings.items():
        set_dotted(made.values, key, value)
    made.values["task"] = task
    check_keys(made.values)
    if rows is None:
        rows = _rows(made, data)
    made.set("data.name_or_path", data)
    columns, kind = look_at(rows), task_named(task)
    if kind.has_classes:
        _classes(made, rows, columns)
    _inputs(made, kind, rows, columns)
    return made.values["data"]


def _rows(made: FirstRecipe, data: str) -> Dataset:
    made.set("data.name_or_path", data)
    section = made.values["data"]
    local = data == "digits" or Path(data).expanduser().exists()
    split = section.get("dataset_split", None if local else "train")
    rows = load_dataset_from(data, split=split, name=section.get("config_name"), revision=section.get("revision"))
    if local and "dataset_split" not in section and str(rows.split or "train") != "train":
        made.set("data.dataset_split", None)
    if len(rows) == 0:
        raise InputError(f"--data is {data!r}, which has no rows: pass another file or split (--data.dataset_split)")
    if len(rows) < FEWEST_ROWS:
        raise InputError(
            f"--data is {data!r}, which has {len(rows)} rows: fewer than {FEWEST_ROWS} show nothing of a leak"
        )
    return rows


def _task(made: FirstRecipe, columns: list[Column], config: Any, rows: Dataset) -> Task:
    """The task that is named; else by the label, the columns and what the model is made for."""
    if made.has("task"):
        return task_named(made.values["task"])
    languages = [task for task in TASKS.values() if not task.has_classes]
    named = any(made.has(f"data.{name}_column") for name in ("prompt", "completion", "messages"))
    is_language = bool(nameless_texts(columns)) or any(column.kind == "chat" for column in columns)
    if not made.has("data.label_column"):
        from hf_privacy.models.architectures import find_task

        wanted = None if config is None else find_task(config)
        label = _found_label(columns, rows)
        if named or (is_language and (label is None or wanted in {task.name for task in languages})):
            return languages[0]
        if label is None:
            few = [c.name for c in columns if c.kind in ("text", "number") and 2 <= c.n_different <= len(rows) // 10]
            raise InputError(
                "no column is called label, and none is one of classes by its type: pass --label"
                + (f", such as {' or '.join(map(repr, few[:3]))}" if few else "")
                + f"; the data has the columns {', '.join(column.name for column in columns)}"
            )
        made.set("data.label_column", label)
    others = _examples(made, columns, len(rows))
    kinds = {column.kind for column in others}
    if "image" in kinds:
        return _task_of_column("image")
    if nameless_texts(others) or ("text" in kinds and not kinds & {"number", "numbers"}):
        return _task_of_column("text")
    if kinds & {"number", "numbers"}:
        return _task_of_column("features")
    raise InputError(
        "no column beside the label holds images, texts or numbers: the data has the columns "
        f"{', '.join(column.name for column in columns)}"
    )


def _task_of_column(column: str) -> Task:
    return next(task for task in TASKS.values() if task.has_classes and task.column == column)


def _found_label(columns: list[Column], rows: Dataset) -> str | None:
    typed = [name for name, feature in rows.features.items() if hasattr(feature, "names") and feature.names]
    names = {column.name.lower(): column.name for column in columns if column.kind in ("text", "number")}
    return next((names[name] for name in LABELS if name in names), typed[0] if len(typed) == 1 else None)


def _examples(made: FirstRecipe, columns: list[Column], n_rows: int) -> list[Column]:
    """The columns that may say what an example is: not its label, number, owner or whether it is a member."""
    section = made.values.get("data", {})
    other = {section.get(f"{name}_column") for name in ("label", "group", "member", "paraphrase")}
    return [
        column
        for column in columns
        if column.name not in other and not column.counts_rows(n_rows) and not column.says_whose(n_rows)
    ]


def _classes(made: FirstRecipe, rows: Dataset, columns: list[Column]) -> None:
    """Refuse a label column that tells no classes apart."""
    if not made.has("data.label_column"):
        found = _found_label(columns, rows)
        if found is None:
            raise InputError(f"the task is {made.values['task']} and no column is called label: pass --label")
        made.set("data.label_column", found)
    label = made.values["data"]["label_column"]
    require_column(rows, label, argument="--label")
    try:
        numbered = number_classes(rows, label, names=made.values["data"].get("label_names"))
    except InputError as error:
        raise InputError(str(error).replace("label_column", "--label")) from None
    names = class_names(numbered, label)
    there = next(column.n_different for column in columns if column.name == label)
    if there > len(rows) // 2:
        raise InputError(
            f"--label is {label!r}, which has {there:,} different values in {len(rows):,} rows: these are no classes, "
            "so pass another column"
        )
    if len(names) < 2:
        raise InputError(f"--label is {label!r}, which has one value in all rows: there is nothing to tell apart")
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    made.found.append(f"{len(rows):,} rows of {len(names)} classes in {label} ({shown})")


def _inputs(made: FirstRecipe, task: Task, rows: Dataset, columns: list[Column]) -> None:
    others = _examples(made, columns, len(rows))
    if task.column == "image":
        images = [column.name for column in others if column.kind == "image"]
        if not images and not made.has("data.input_column"):
            raise InputError(f"the task is {task.name}, and no column holds images")
        made.set("data.input_column", next(iter(images), None))
        channels, height, width = image_shape(rows, made.values["data"]["input_column"])
        made.found.append(f"images of {height} × {width} pixels in {'colour' if channels == 3 else 'grey'}")
    elif task.column == "features":
        _numbers(made, others)
    elif task.has_classes:
        _texts(made, others)
    else:
        _language(made, rows, columns, others)


def _numbers(made: FirstRecipe, others: list[Column]) -> None:
    lists = [column for column in others if column.kind == "numbers" and not column.n_missing]
    single = [column for column in others if column.kind == "number" and not column.n_missing]
    if not made.has("data.input_column"):
        names = [lists[0].name] if lists else [column.name for column in single]
        if not names:
            raise InputError("no column beside the label holds numbers in every row: fill or drop missing values")
        left = [column.name for column in others if column.name not in names]
        note = f"left out, being no numbers or having rows without: {', '.join(left[:8])}" if left else None
        made.set("data.input_column", names[0] if len(names) == 1 else names, note)
    made.found.append("numbers, which are read as they stand: bring columns to a like scale first")


def _texts(made: FirstRecipe, others: list[Column]) -> None:
    names = [column.name for column in others]
    pair = next((list(pair) for pair in PAIRS if set(pair) <= set(names)), None)
    if not made.has("data.input_column"):
        best = nameless_texts(others) or sorted(
            (column for column in others if column.kind == "text"), key=lambda column: -column.words
        )
        if not best:
            raise InputError("the task is text-classification, and no column beside the label holds texts")
        made.set("data.input_column", pair or best[0].name)
    _text_lengths(made, others, made.values["data"]["input_column"])


def _text_lengths(made: FirstRecipe, columns: list[Column], chosen: Any) -> None:
    """Refuse missing texts; cut where nearly all of them end."""
    read = [column for column in columns if column.name in ([chosen] if isinstance(chosen, str) else chosen)]
    for column in read:
        if column.n_missing:
            raise InputError(
                f"column {column.name!r} has {column.n_missing:,} rows without a text: drop those rows, or name "
                "another column with --data.input_column"
            )
    words = sum(column.words for column in read)
    longest = next((size for size in (32, 64, 128, 256) if 1.5 * sum(c.longest_words for c in read) <= size), 512)
    made.set("data.max_length", longest, "nearly all texts are shorter")
    made.found.append(f"texts of {words:.0f} words in the mean")


def _language(made: FirstRecipe, rows: Dataset, columns: list[Column], others: list[Column]) -> None:
    section, there = made.values["data"], {column.name for column in columns}
    if any(section.get(f"{name}_column") for name in ("input", "prompt", "messages")):
        pass
    elif any(column.kind == "chat" for column in columns):
        made.set("data.messages_column", next(column.name for column in columns if column.kind == "chat"))
    elif pair := next((pair for pair in ANSWERS if set(pair) <= there), None):
        made.set("data.prompt_column", pair[0])
        made.set("data.completion_column", pair[1])
    else:
        texts = nameless_texts(others)
        if not texts:
            raise InputError(
                f"the task is {made.values['task']}, and no column holds texts: the data has the columns "
                f"{', '.join(column.name for column in columns)}"
            )
        made.set("data.input_column", texts[0].name)
    read = [section.get(f"{name}_column") for name in ("input", "prompt", "completion")]
    broken = [column for column in columns if column.name in read and column.n_missing]
    if broken:
        raise InputError(
            f"column {broken[0].name!r} has {broken[0].n_missing:,} rows without a text: drop those rows first"
        )
    made.found.append(f"{len(rows):,} rows of text for a language model, which have no classes")


# ---- the model ----


def _configuration(made: FirstRecipe, model: str) -> Any:
    """A saved model's configuration; None, with a remark, where the Hub cannot be asked."""
    from hf_privacy.models.architectures import is_folder
    from hf_privacy.models.checkpoint import Checkpoint

    section = made.values.get("model", {})
    checkpoint = Checkpoint(model, section.get("revision"), section.get("gguf_file"))
    if is_folder(model):
        return checkpoint.config()
    try:
        return checkpoint.config()
    except InputError:
        made.notes["model.name_or_path"] = "not looked at: neither in the cache nor to be reached from here"
        return None


def _model(made: FirstRecipe, task: Task, rows: Dataset, model: str | None, config: Any) -> None:
    if model is not None:
        made.set("model.name_or_path", model)
        if Path(model).is_dir() and not made.has("model.base_model_id"):
            made.notes["model.base_model_id"] = "set it before a push: nobody else has that folder"
        if config is not None:
            from hf_privacy.models.architectures import check_task

            check_task(config, task.name)
    elif not made.has("model.name_or_path"):
        _usual_model(made, task, rows)
    if not task.has_classes and not made.has("model.lora") and not made.has("model.from_scratch"):
        made.set("model.lora", {"r": 8, "lora_alpha": 16}, "null trains all weights")


def _usual_model(made: FirstRecipe, task: Task, rows: Dataset) -> None:
    if task.column == "features":
        made.set("model.name_or_path", "hf_privacy_tabular_mlp")
        made.set("model.from_scratch", True)
        made.set("model.kwargs", {"hidden_sizes": [256, 128]})
    elif task.column == "text":
        made.set("model.name_or_path", _TEXT_MODEL if task.has_classes else _LANGUAGE_MODEL)
    else:
        channels, height, width = image_shape(rows, made.values["data"]["input_column"])
        if max(height, width) > _SMALL_IMAGE:
            made.set("model.name_or_path", _IMAGE_MODEL)
            return
        made.set("model.name_or_path", "convnext")
        made.set("model.from_scratch", True)
        sizes = {"hidden_sizes": [32, 64], "depths": [2, 2], "num_stages": 2}
        patch = 2 if max(height, width) <= 32 else 4
        made.set(
            "model.kwargs",
            {"num_channels": channels, "patch_size": patch, **sizes, "layer_scale_init_value": 1.0},
        )


# ---- split, training, audit ----


def _split(made: FirstRecipe, task: Task, rows: Dataset, columns: list[Column]) -> None:
    kind = trainer_class(made.values.get("defense", "none"))
    drawn = not (made.has("data.member_column") or made.has("data.split_file"))
    if drawn and (kind.needs_validation or made.has("critical_weight_rewind") or len(rows) >= _ENOUGH_FOR_POPULATION):
        made.set("data.population_fraction", 0.2)
    if drawn:
        made.set("data.member_fraction", 0.5)
    if len(rows) > _MANY_ROWS:
        made.notes["data.max_examples"] = f"of {len(rows):,} rows; 5000 are enough for a first try"
    whose = next((column for column in columns if column.says_whose(len(rows))), None)
    if whose is not None:
        made.notes["data.group_column"] = (
            f"{whose.name} names {whose.n_different:,} owners of {len(rows):,} rows: set it to keep theirs together"
            + (" (with stratify: false)" if task.has_classes else "")
        )
    if kind.needs_paraphrases and not made.has("data.paraphrase_column"):
        found = next((column.name for column in columns if "paraphrase" in column.name.lower()), None)
        if found is None:
            raise InputError(
                f"defense is {made.values['defense']!r}, which trains on paraphrases of its rows: name their column "
                "with --data.paraphrase_column"
            )
        made.set("data.paraphrase_column", found)


def _training(made: FirstRecipe, task: Task, n_rows: int) -> None:
    """What is usual for a model from scratch, a pretrained one, or an adapter; and what the defence's paper gives."""
    scratch, lora = made.values["model"].get("from_scratch", False), made.values["model"].get("lora") is not None
    if scratch:
        usual: dict[str, Any] = {"learning_rate": 0.001, "num_train_epochs": 20, "per_device_train_batch_size": 32}
    elif not task.has_classes:
        usual = {"learning_rate": 2.0e-4 if lora else 5.0e-5, "num_train_epochs": 3, "per_device_train_batch_size": 8}
    else:
        usual = {"learning_rate": 1.0e-3 if lora else 5.0e-5, "num_train_epochs": 3, "per_device_train_batch_size": 16}
    # No batch is as large as the training set; the largest power of two that leaves some rows out.
    n_members = (1 - made.values["data"].get("population_fraction", 0.0)) * n_rows / 2
    usual["per_device_train_batch_size"] = min(
        usual["per_device_train_batch_size"], 2 ** int(math.log2(max(2.0, 0.75 * n_members)))
    )
    for name, value in {**usual, "weight_decay": 0.01, "seed": 42}.items():
        made.set(f"training.{name}", value)
    defense = made.values.get("defense", "none")
    kind = trainer_class(defense)
    about = {key.leaf: key for key in section_keys(defense)} if ":" not in defense else {}
    known = {known.name for known in fields(kind.config_class)}
    for name, value in kind.paper_defaults.items():
        # δ is best left to follow the number of rows; a paper's is of its own.
        if name not in known or name == "target_delta" or (name in about and not about[name].is_for(task)):
            continue
        made.set(f"training.{name}", value, "as in the paper")


def _audit(made: FirstRecipe, task: Task) -> None:
    made.set("audit.depth", "full")
    made.set("audit.references", 8, "as many as a budget asks for; 16 and more tell more")
    made.set("audit.fprs", [0.01, 0.1])
