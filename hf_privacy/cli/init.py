"""`hf-privacy init`."""

from __future__ import annotations

import textwrap
from pathlib import Path

from hf_privacy.atomic_file import write_atomically
from hf_privacy.cli.arguments import Options
from hf_privacy.errors import InputError

# Remarks that are printed too: what a user may want otherwise.
SAID = ("data.input_column", "data.group_column", "data.max_examples", "model.name_or_path", "model.base_model_id")


def run(options: Options) -> int:
    """Write a recipe for a model and data, copy a shipped one, or list those there are."""
    flags = options.flags
    name, data = flags["copy_of"], flags["data"]
    if name is not None and (data is not None or flags["label"] is not None or flags["model"] is not None):
        raise InputError("--from copies a recipe as it is: leave --data, --label and --model out, or leave --from out")
    if name == "":
        _list()
    elif name is not None:
        if options.overrides:
            raise InputError(
                f"--from copies a recipe as it is, and --{next(iter(options.overrides))} is set: set it in the copy"
            )
        _copy(str(name), flags)
    elif data is None:
        raise InputError("--data is missing: pass a file, a folder, a Hub id or digits; or --from, to copy a recipe")
    else:
        _write_first(str(data), options)
    return 0


def _write_first(data: str, options: Options) -> None:
    target = Path(str(options.flags["output"] or "recipe.yaml"))
    _check_free([target], options.flags)
    from hf_privacy.recipe.commented import commented_recipe
    from hf_privacy.recipe.first_recipe import first_recipe

    made = first_recipe(
        data,
        label=_text(options.flags["label"]),
        model=_text(options.flags["model"]),
        settings=options.overrides,
    )
    _write(target, commented_recipe(made, path=str(target)))
    for sentence in made.found:
        print(sentence)
    for key in SAID:
        if key in made.notes:
            print(f"{key}: {made.notes[key]}")
    print(f"wrote {target}\nnext: hf-privacy train --config {target}")


def _copy(name: str, flags: dict[str, object]) -> None:
    from hf_privacy.recipe.shipped import command_of, copies, shipped_recipe

    source = shipped_recipe(name)
    target = Path(str(flags["output"] or source.name))
    files = list(copies(source, target))
    _check_free([path for path, _ in files], flags)
    for path, text in files:
        _write(path, text)
        print(f"wrote {path}")
    command = command_of(source)
    print(f"next: hf-privacy {'train' if command == 'unlearn' else command} --config {target}")


def _list() -> None:
    from hf_privacy.recipe.shipped import command_of, first_words, shipped_recipes

    for name, path in shipped_recipes().items():
        line = f"{name} ({command_of(path)}): {first_words(path)}"
        print(textwrap.shorten(line, 119, placeholder=" …"))
    print("\ncopy one: hf-privacy init --from NAME --output my.yaml")


def _check_free(paths: list[Path], flags: dict[str, object]) -> None:
    for path in paths:
        if path.is_dir():
            raise InputError(f"--output is {str(path)!r}, which is a folder: pass a file in it")
        if path.exists() and not flags["force"]:
            raise InputError(f"{path} is there already: choose another --output, or pass --force to write over it")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())


def _text(value: object) -> str | None:
    return None if value is None else str(value)
