"""The recipes that come with the package: found in a wheel, an editable install and a clone alike. Light to import."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hf_privacy.arguments import unknown_key
from hf_privacy.errors import InputError
from hf_privacy.tasks import TASKS

_PACKAGE = Path(__file__).parents[1]
# The line of a YAML file that names the one it is made from.
_PARENT = re.compile(r"^(recipe|base):[ \t]*(?P<file>\S+\.yaml)[ \t]*$", re.MULTILINE)
# Folders of recipes for one task each: a short name is of one of these before all others.
_TASK_FOLDERS = tuple(name.replace("-", "_") for name in TASKS)


def recipes_folder() -> Path:
    """Where the recipes lie: inside an installed package, beside it in a clone.

    Raises
    ------
    InputError
        Where neither is there.
    """
    for folder in (_PACKAGE / "shipped_recipes", _PACKAGE.parent / "recipes"):
        if folder.is_dir():
            return folder
    raise InputError("the recipes are not installed with the package: install its wheel, or clone the repository")


def shipped_recipes() -> dict[str, Path]:
    """Every recipe or comparison a command can run, by its name: the path below `recipes_folder`, without ``.yaml``.

    Examples
    --------
    >>> "text_classification/sst2_lora" in shipped_recipes()
    True
    """
    folder = recipes_folder()
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
    return {name: path for name, path in found.items() if command_of(path) is not None}


def command_of(path: Path) -> str | None:
    """The command that runs a YAML file: "train" (then audit, push), "unlearn" or "compare"; None for others.

    Examples
    --------
    >>> command_of(shipped_recipe("defenses/location30"))
    'compare'
    """
    keys = set(re.findall(r"^(\w+):", path.read_text(encoding="utf-8"), re.MULTILINE))
    if "task" in keys:
        return "unlearn" if "unlearning" in keys else "train"
    # The grid of a search has one seed, and is read by the search alone.
    return "compare" if {"recipe", "defenses"} <= keys and "seed" not in keys else None


def shipped_recipe(name: str) -> Path:
    """A shipped recipe by its name, or the last part of it.

    Raises
    ------
    InputError
        For an unknown name, with the nearest; or a last part that several have and none of a task's own folder.

    Examples
    --------
    >>> shipped_recipe("sst2_lora").parent.name
    'text_classification'
    >>> shipped_recipe("sst2_lara")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: unknown key 'sst2_lara' in --from: did you mean 'sst2_lora'?
    """
    recipes = shipped_recipes()
    wanted = name.removesuffix(".yaml").removeprefix("recipes/")
    if wanted in recipes:
        return recipes[wanted]
    alike = [known for known in recipes if known.rpartition("/")[2] == wanted]
    chosen = [known for known in alike if known.partition("/")[0] in _TASK_FOLDERS] if len(alike) > 1 else alike
    if len(chosen) == 1:
        return recipes[chosen[0]]
    if alike:
        raise InputError(f"--from is {name!r}, and there are several: pass {' or '.join(map(repr, alike))}")
    raise unknown_key(wanted, [*recipes, *(known.rpartition("/")[2] for known in recipes)], "--from")


def first_words(path: Path) -> str:
    """The first sentence of the comment that a recipe begins with.

    Examples
    --------
    >>> first_words(shipped_recipe("causal_lm/ag_news"))[:25]
    'News headlines and leads '
    """
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return re.split(r"(?<=\.)\s", " ".join(lines), maxsplit=1)[0].rstrip(".")


def copies(path: Path, target: Path) -> Iterator[tuple[Path, str]]:
    """What a copy of a shipped recipe to ``target`` consists of: places and texts, its parents' beside it first.

    A comparison names its base recipe relative to itself; the copy names the copy beside it.
    """
    text = path.read_text(encoding="utf-8")
    found = _PARENT.search(text)
    if found:
        parent = (path.parent / found["file"]).resolve()
        name = parent.name if parent.stem != target.stem else f"{parent.stem}_base.yaml"
        yield from copies(parent, target.parent / name)
        text = f"{text[: found.start('file')]}{name}{text[found.end('file') :]}"
    yield target, text
