"""`hf-privacy keys`."""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Iterable

from hf_privacy.cli.arguments import Options
from hf_privacy.defenses import DEFENSES
from hf_privacy.errors import InputError
from hf_privacy.recipe.keys import REQUIRED, Key, key_named, keys_of, section_keys, sections
from hf_privacy.unlearning import UNLEARNERS

WIDTH = 110
COMPARE = "compare"


def run(options: Options) -> int:
    """Print the keys there are, those of a section or a method, one key in full, or the JSON schema of them all."""
    name = str(options.flags["name"] or "")
    if options.flags["json_schema"]:
        print(json.dumps(_schema(name), indent=1, ensure_ascii=False))
    elif name == "":
        _overview()
    elif name == COMPARE:
        from hf_privacy.comparison.plan import Comparison, Entry

        _listing(keys_of(Comparison))
        print("\nEach of the defenses:")
        _listing(keys_of(Entry))
    elif name in sections():
        _listing(section_keys(name))
    elif name in DEFENSES or name in UNLEARNERS:
        _of_method(name)
    else:
        _one(name)
    return 0


def _schema(name: str) -> dict:
    if name == COMPARE:
        from hf_privacy.comparison.json_schema import comparison_schema

        return comparison_schema()
    if name:
        raise InputError(f"--json-schema is of a whole file: leave {name!r} out, or pass {COMPARE!r} for a comparison")
    from hf_privacy.recipe.json_schema import recipe_schema

    return recipe_schema()


def _overview() -> None:
    _listing(section_keys(""))
    about = {key.name: key.meaning for key in _all_top_keys()}
    print("\nSections (hf-privacy keys SECTION lists the keys of one):")
    for name in sections():
        print("  " + textwrap.shorten(f"{name}: {about.get(name, '')}", WIDTH, placeholder=" …"))
    for title, table in (("Defences", DEFENSES), ("Unlearners", UNLEARNERS)):
        print()
        print(textwrap.fill(f"{title} (hf-privacy keys NAME lists what it adds): {', '.join(table)}", WIDTH))
    print(f"\nA comparison: hf-privacy keys {COMPARE}. One key in full: hf-privacy keys data.label_column.")


def _all_top_keys() -> list[Key]:
    from hf_privacy.recipe.config import Recipe

    return [*keys_of(Recipe), *(key for name in ("audit", "unlearning") for key in section_keys(name))]


def _of_method(name: str) -> None:
    is_defence = name in DEFENSES
    keys = section_keys(name)
    where = "defense" if is_defence else "unlearning.method"
    section = "training" if is_defence else "unlearning.training"
    print(f"With {where}: {name}, {'these' if keys else 'no'} keys beside those of `hf-privacy keys {section}`.")
    _listing(keys)


def _listing(keys: Iterable[Key]) -> None:
    for key in keys:
        print(f"{key.name}: {shown_default(key)}    ({key.takes})")
        if key.meaning:
            print(textwrap.fill(f"{key.meaning}.", WIDTH, initial_indent="    ", subsequent_indent="    "))


def _one(name: str) -> None:
    found = [key_named(name)] if "." in name else _by_last_part(name)
    if not found:
        known = [*sections(), *(key.leaf for key in _light_keys()), *DEFENSES, *UNLEARNERS, COMPARE]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "`hf-privacy keys` lists them"
        raise InputError(f"no key, section, defence or unlearner is called {name!r}: {hint}")
    for key in found:
        print(f"{key.name}\n  takes    {key.takes}\n  default  {shown_default(key)}")
        print(textwrap.fill(key.details, WIDTH, initial_indent="  ", subsequent_indent="  "))


def _by_last_part(name: str) -> list[Key]:
    """Keys called so in any section; the many of ``training`` last, since they load transformers."""
    return [key for key in _light_keys() if key.leaf == name] or [
        key for key in section_keys("training") if key.leaf == name
    ]


def _light_keys() -> list[Key]:
    light = [name for name, place in sections().items() if not isinstance(place, str) or ".recipe." in place]
    return [key for name in ("", *light) for key in section_keys(name) if key.name not in sections()]


def shown_default(key: Key) -> str:
    """A key's default as it is written in YAML."""
    import yaml

    from hf_privacy.recipe.json_schema import plain

    if key.default == REQUIRED:
        return REQUIRED
    return yaml.safe_dump(plain(key.default), default_flow_style=True, width=10_000, allow_unicode=True).partition(
        "\n"
    )[0]
