"""Pages that come from code: the keys of a recipe, the commands, and the rooms of the package by their docstrings."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any


def keys_page() -> str:
    """Every key of a recipe and of a comparison, with what it takes, its default and its meaning."""
    from hf_privacy.comparison.plan import Comparison, Entry
    from hf_privacy.defenses import DEFENSES
    from hf_privacy.recipe.keys import keys_of, section_keys, sections
    from hf_privacy.unlearning import UNLEARNERS

    parts = [
        "# Keys of a recipe",
        "A recipe is a YAML file; each key can be set on the command line too (`--data.seed 3`). This page is what "
        "`hf-privacy keys` prints, and `hf-privacy keys --json-schema` gives the same to editors.",
        "## The recipe",
        _listing(section_keys("")),
    ]
    for name in sections():
        parts += [f"## Section `{name}`", _listing(section_keys(name))]
    parts += ["## A comparison", _listing(keys_of(Comparison)), "Each of its defenses:", _listing(keys_of(Entry))]
    for title, section, table in (
        ("Defences", "training", DEFENSES),
        ("Unlearners", "unlearning.training", UNLEARNERS),
    ):
        parts += [f"## {title}", f"What each adds to the keys of `{section}`, or where its default is another."]
        for name in table:
            parts += [f"### `{name}`", _listing(section_keys(name)) or "Nothing."]
    return "\n\n".join(parts) + "\n"


def _listing(keys: Iterable[Any]) -> str:
    from hf_privacy.cli.keys import shown_default

    lines = []
    for key in keys:
        lines.append(f"- **`{key.name}`** ({key.takes}; default `{shown_default(key)}`)")
        if key.meaning:
            lines.append(f"  <br>{_plain(key.meaning)}.")
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Text in which nothing is Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>$|#" else letter for letter in text)


def commands_page() -> str:
    """Each command with its ``--help``."""
    from hf_privacy.cli.arguments import COMMANDS

    parts = ["# Commands", "As `hf-privacy COMMAND --help` prints them.", _block(_help())]
    for name in COMMANDS:
        parts += [f"## `hf-privacy {name}`", _block(_help(name))]
    return "\n\n".join(parts) + "\n"


def _help(*command: str) -> str:
    from hf_privacy.cli.arguments import parse

    shown, width = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "110"
    try:
        with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
            parse([*command, "--help"])
    finally:
        if width is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = width
    return shown.getvalue()


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def rooms() -> list[str]:
    """The rooms of the package, by name."""
    import hf_privacy

    return [name for name in sorted(hf_privacy.__all__) if isinstance(getattr(hf_privacy, name), ModuleType)]


def room_page(name: str) -> str:
    """A room: what it says of itself, and all that it exports."""
    import hf_privacy

    room = getattr(hf_privacy, name)
    inner = [part for part in _exports(room) if isinstance(getattr(room, part), ModuleType)]
    modules = [room.__name__, *(f"{room.__name__}.{part}" for part in inner)]
    parts = [f"# {room.__name__}"]
    for module in modules:
        if module != room.__name__:
            parts.append(f"## {module}")
        parts.append(f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n```")
    return "\n\n".join(parts) + "\n"


def top_page() -> str:
    """What `import hf_privacy` gives: each name with its first sentence, and where it is documented."""
    import hf_privacy

    places = documented_names()
    lines = ["# hf_privacy", "What the package itself exports; all else is in its rooms.", ""]
    for name in sorted(hf_privacy.__all__):
        found = getattr(hf_privacy, name)
        if isinstance(found, ModuleType):
            lines.append(f"- [`{found.__name__}`]({name}.md): {_plain(_first_sentence(found))}")
        elif (full := places.get((getattr(found, "__module__", ""), name))) is not None:
            lines.append(f"- [`{name}`](#{full}): {_plain(_first_sentence(found))}")
    return "\n".join(lines) + "\n"


def documented_names() -> dict[tuple[str, str], str]:
    """What the rooms export, by the module it is written in and its name there: the full name that documents it."""
    import hf_privacy

    found: dict[tuple[str, str], str] = {}
    for room_name in rooms():
        room = getattr(hf_privacy, room_name)
        for name in _exports(room):
            export = getattr(room, name)
            if getattr(export, "__doc__", None) and hasattr(export, "__qualname__"):
                found.setdefault((export.__module__, export.__qualname__), f"{room.__name__}.{name}")
    for place in ("errors",):
        module = getattr(__import__(f"hf_privacy.{place}"), place)
        found[module.__name__, "InputError"] = f"{module.__name__}.InputError"
    return found


def documented_files(root: Path) -> dict[str, str]:
    """Files and folders of the package, relative to the repository, and what of the site documents each."""
    found: dict[str, str] = {"hf_privacy": "api/hf_privacy.md", "hf_privacy/cli": "commands.md"}
    names = documented_names()
    for name in rooms():
        for path in [root / "hf_privacy" / name, *(root / "hf_privacy" / name).rglob("*.py")]:
            relative = path.relative_to(root)
            found[relative.as_posix()] = f"api/{name}.md"
    for (module, _), full in names.items():
        file = module.replace(".", "/") + ".py"
        # Of several in a file the trainer or callback, or what is called as the file is.
        if found.get(file, "").endswith(".md") or full.endswith(("Trainer", "Callback", module.rpartition(".")[2])):
            found[file] = full
    return found


def _exports(room: ModuleType) -> list[str]:
    return [name for name in sorted(getattr(room, "__all__", ())) if not name.startswith("_")]


def _first_sentence(found: object) -> str:
    return (found.__doc__ or "").strip().partition("\n\n")[0].replace("\n", " ").replace("``", "")
