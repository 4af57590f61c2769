"""A recipe as a file to read and change: what is set, and behind a # what could be, each with its meaning."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

import yaml

from hf_privacy.recipe.first_recipe import FirstRecipe
from hf_privacy.recipe.json_schema import plain
from hf_privacy.recipe.keys import REQUIRED, Key, section_keys, sections
from hf_privacy.tasks import Task, task_named

WIDTH = 119
# Of the hundred arguments of a training, those that a first recipe shows where it does not set them.
_SHOWN = (
    "optim", "lr_scheduler_type", "warmup_steps", "max_grad_norm", "max_steps", "gradient_accumulation_steps",
    "label_smoothing_factor", "bf16", "use_cpu", "save_strategy", "logging_strategy", "report_to",
)  # fmt: skip
_WHOLE = ("model", "data", "audit", "push")  # sections whose every key is shown


def commented_recipe(made: FirstRecipe, *, path: str) -> str:
    """The YAML of a first recipe.

    Parameters
    ----------
    made : FirstRecipe
    path : str
        Where it will lie, for the commands at its head.

    Examples
    --------
    >>> from hf_privacy.recipe.first_recipe import first_recipe
    >>> text = commented_recipe(first_recipe("digits"), path="digits.yaml")
    >>> "task: image-classification" in text, "\\n  #augmentation: null" in text
    (True, True)
    """
    task = task_named(made.values["task"])
    return "\n".join([*_head(made, path), *_top(made), *_sections(made, task)]) + "\n"


def _head(made: FirstRecipe, path: str) -> Iterator[str]:
    yield from _prose(f"{made.values['data']['name_or_path']}: {'; '.join(made.found)}.", "")
    yield f"#   hf-privacy train --config {path}"
    yield f"#   hf-privacy audit --config {path}"
    yield f"#   hf-privacy push --config {path} --repo-id you/{made.values['name']} --dry-run"
    yield from _prose("A key behind # is not set and shows its default. All there are: hf-privacy keys.", "")


def _top(made: FirstRecipe) -> Iterator[str]:
    for key in section_keys(""):
        yield from _line(key, made.values.get(key.name, key.default), key.name in made.values, made, "")


def _sections(made: FirstRecipe, task: Task) -> Iterator[str]:
    for name in (known for known in sections() if "." not in known):
        values = made.values.get(name)
        if name not in (*_WHOLE, "training"):
            if values is None:
                yield f"#{name}:  # see: hf-privacy keys {name}"
            else:
                yield from ("", *yaml.safe_dump({name: plain(values)}, sort_keys=False).rstrip().splitlines())
            continue
        yield from ("", f"{name}:")
        yield from _section(name, values or {}, made, task)


def _section(name: str, values: Mapping[str, Any], made: FirstRecipe, task: Task) -> Iterator[str]:
    keys = {key.leaf: key for key in section_keys(name)}
    own: dict[str, Key] = {}
    if name == "training" and ":" not in made.values.get("defense", "none"):
        own = {key.leaf: key for key in section_keys(made.values.get("defense", "none")) if key.is_for(task)}
    keys |= own
    for leaf in values:
        if leaf not in keys:  # of a defence of the user's own
            keys[leaf] = Key(f"{name}.{leaf}", (object,), REQUIRED)
    defaults = task.data_defaults if name == "data" else {}
    shown = [*_SHOWN, *own] if name == "training" else [leaf for leaf, key in keys.items() if key.is_for(task)]
    # What is set comes first, in the order of the class where all are shown.
    order = [*values, *shown] if name == "training" else [leaf for leaf in keys if leaf in (*values, *shown)]
    for leaf in dict.fromkeys(order):
        key = keys[leaf]
        value = values.get(leaf, defaults.get(leaf, key.default))
        yield from _line(key, value, leaf in values, made, "  ")


def _line(key: Key, value: Any, is_set: bool, made: FirstRecipe, indent: str) -> Iterator[str]:
    written = "" if isinstance(value, str) and value == REQUIRED else _flow({} if is_dataclass(value) else value)
    line = f"{indent}{'' if is_set else '#'}{key.leaf}: {written}".rstrip()
    more = f"hf-privacy keys {key.name}" if key.name in sections() else _choices(key)
    said = [key.meaning, more, made.notes.get(key.name, "")]
    comment = "; ".join(part for part in said if part)
    if not comment:
        yield line
    elif len(line) + len(comment) + 4 <= WIDTH:
        yield f"{line}  # {comment}"
    else:
        yield from _prose(f"{comment}:", indent)
        yield line


def _choices(key: Key) -> str:
    """The choices, unless the meaning names them."""
    if not key.choices or all(repr(choice) in key.meaning for choice in key.choices):
        return ""
    return f"one of {', '.join(map(str, key.choices))}" if not key.is_list else f"any of {', '.join(key.choices)}"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(plain(value), default_flow_style=True, width=1_000_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def _prose(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(text, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
