"""What a recipe's keys are, read from the classes that check them: kinds from annotations, meanings from their help.

A field's metadata says what an annotation cannot: ``choices`` (the values there are), ``each`` (those of a list's
entries), ``outside`` (a ``module:Name`` will do too), ``also`` (further kinds), ``for`` (examples it is about) and
``keys`` (the class that a mapping is made into). Light to import; the keys of
training, of a defence or an unlearner load transformers.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hf_privacy.arguments import unknown_key
from hf_privacy.defenses import DEFENSES, trainer_class
from hf_privacy.exports import located
from hf_privacy.recipe.config import Recipe
from hf_privacy.tasks import Task
from hf_privacy.unlearning import UNLEARNERS, unlearner_class

_WORDS = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    list: "list",
    tuple: "list",
    dict: "mapping",
}
REQUIRED = "(must be set)"


@dataclass(frozen=True)
class Key:
    """One key of a recipe.

    Attributes
    ----------
    name : str
        As it is set on the command line: ``data.label_column``.
    kinds : tuple of type
        Of the values it takes; ``NoneType`` where it may be nothing.
    default : object
        What it is where nothing is said; `REQUIRED` where something must be.
    choices : tuple
        All values there are, or all entries of a list; empty where there are others.
    is_open : bool
        Whether a ``module:Name`` of the user's own will do beside them.
    meaning, details : str
        In one sentence, and in full.
    about : str or None
        The examples it is about: "classes", "language", "texts" or "images"; None for all.
    """

    name: str
    kinds: tuple[type, ...]
    default: Any
    choices: tuple = ()
    is_open: bool = False
    meaning: str = ""
    details: str = ""
    about: str | None = None

    @property
    def leaf(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]

    @property
    def is_list(self) -> bool:
        """Whether `choices` are those of entries of a list."""
        return bool({list, tuple} & set(self.kinds)) and str not in self.kinds

    @property
    def takes(self) -> str:
        """In words what it takes.

        Examples
        --------
        >>> key_named("audit.depth").takes, key_named("data.max_examples").takes
        ("'quick' or 'full'", 'whole number or nothing')
        """
        if self.choices:
            words = [repr(choice) for choice in self.choices] + (["module:Name"] if self.is_open else [])
            listed = ", ".join(words[:-1]) + f" or {words[-1]}" if len(words) > 1 else words[0]
            words = [f"list of {listed}" if self.is_list else listed]
        else:
            words = [_word(kind) for kind in self.kinds if kind is not type(None)]
        words = list(dict.fromkeys(words)) or ["anything"]
        return " or ".join([*words, "nothing"] if type(None) in self.kinds else words)

    def is_for(self, task: Task) -> bool:
        """Whether it is about examples of a task.

        Examples
        --------
        >>> from hf_privacy.tasks import task_named
        >>> key_named("data.image_size").is_for(task_named("causal-lm"))
        False
        """
        return {
            None: True,
            "classes": task.has_classes,
            "language": not task.has_classes,
            "texts": task.processor == "tokenizer",
            "images": task.column == "image",
        }[self.about]


def keys_of(kind: type, section: str = "", *, beyond: type | None = None) -> list[Key]:
    """The keys of a section, in the order of its class.

    Parameters
    ----------
    kind : dataclass
    section : str
        What stands before their names.
    beyond : dataclass, optional
        Without the keys that this one has too, unless their defaults differ.

    Examples
    --------
    >>> from hf_privacy.recipe import AuditSettings
    >>> keys_of(AuditSettings, "audit")[1].name
    'audit.references'
    """
    hints, written = get_type_hints(kind), _written(kind)
    theirs = {} if beyond is None else {known.name: _default(known) for known in fields(beyond)}
    prefix = f"{section}." if section else ""
    keys = []
    for known in fields(kind):
        default = _default(known)
        if not known.init or (known.name in theirs and theirs[known.name] == default):
            continue
        details = written.get(known.name, "")
        help_text = " ".join(str(known.metadata.get("help", "")).replace("%%", "%").split())
        kinds, values = _kinds(hints[known.name])
        kinds += known.metadata.get("also", ())
        keys.append(
            Key(
                name=prefix + known.name,
                kinds=kinds,
                default=default,
                choices=tuple(known.metadata.get("choices", known.metadata.get("each", values))),
                is_open=bool(known.metadata.get("outside")),
                meaning=_first_sentence(help_text or details),
                details=details or help_text,
                about=known.metadata.get("for"),
            )
        )
    return keys


@cache
def sections() -> dict[str, str | type]:
    """The sections of a recipe by their dotted names, each with the class of its keys or the place of it.

    Examples
    --------
    >>> list(sections())[:4]
    ['model', 'data', 'training', 'critical_weight_rewind']
    """
    return dict(_sections(Recipe, ""))


def section_keys(name: str) -> list[Key]:
    """The keys of a section (``data``, ``audit.canaries``), or a defence's or unlearner's own.

    Those of a defence are keys of ``training``, those of an unlearner of ``unlearning.training``: what it adds to what
    all have, and where its defaults are others.

    Raises
    ------
    InputError
        For a name that is neither, with the nearest.

    Examples
    --------
    >>> [key.name for key in section_keys("training_dynamics")]
    ['training_dynamics.every_n_epochs', 'training_dynamics.curvature']
    """
    if name == "":
        return [key for key in keys_of(Recipe) if key.name not in sections()]
    place = sections().get(name)
    if place is not None:
        # What is set elsewhere, or would be a secret in a file.
        without = {f"{name}.output_dir", f"{name}.hub_token"} if name.endswith("training") else set()
        found = keys_of(located(place) if isinstance(place, str) else place, name)
        return [_as_in_a_recipe(key) for key in found if key.name not in without]
    if name in DEFENSES:
        from hf_privacy.defenses import PrivacyConfig

        return keys_of(trainer_class(name).config_class, "training", beyond=PrivacyConfig)
    if name in UNLEARNERS:
        from hf_privacy.unlearning import UnlearningConfig

        return keys_of(unlearner_class(name).config_class, "unlearning.training", beyond=UnlearningConfig)
    raise unknown_key(name, [*sections(), *DEFENSES, *UNLEARNERS], "the sections, defences and unlearners")


def key_named(name: str) -> Key:
    """One key by its full name, or by the method it is of and its own (``dp.target_epsilon``).

    Raises
    ------
    InputError
        For an unknown one.

    Examples
    --------
    >>> key_named("data.member_fraction").default
    0.5
    """
    section = name.rpartition(".")[0]
    keys = {key.name: key for key in section_keys(section)}
    if section in (*DEFENSES, *UNLEARNERS):  # dp.target_epsilon is training.target_epsilon with that defence
        keys = {f"{section}.{key.leaf}": key for key in keys.values()}
    if name not in keys:
        raise unknown_key(name, [*keys, *(known for known in sections() if known.startswith(f"{name}."))], "a recipe")
    return keys[name]


def _sections(kind: type, section: str) -> Iterator[tuple[str, str | type]]:
    hints = get_type_hints(kind)
    for known in fields(kind):
        name = f"{section}.{known.name}" if section else known.name
        place: Any = known.metadata.get("keys", hints[known.name])
        if isinstance(place, str) or is_dataclass(place):
            yield name, place
        if is_dataclass(place):
            yield from _sections(place, name)


def _as_in_a_recipe(key: Key) -> Key:
    """A key of a training with the default that a recipe gives it."""
    if not key.name.startswith(("training.", "unlearning.training.")):
        return key
    from hf_privacy.recipe.config_arguments import QUIET

    return replace(key, default=QUIET.get(key.leaf, key.default))


def _kinds(hint: Any) -> tuple[tuple[type, ...], tuple]:
    """The types of an annotation, and the values of those of its enumerations."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds: list[type] = []
    values: list[Any] = []
    for part in parts:
        plain = get_origin(part) or part
        if plain is Literal:
            kinds += [type(value) for value in get_args(part)]
        elif plain is Any:
            kinds.append(object)
        elif isinstance(plain, type):
            kinds.append(plain)
            values += [member.value for member in plain] if issubclass(plain, Enum) else []
    return tuple(dict.fromkeys(kinds)), tuple(values)


def _default(known: Field) -> Any:
    if known.default is not MISSING:
        return getattr(known.default, "value", known.default)
    if known.default_factory is not MISSING:
        return known.default_factory()
    return REQUIRED


@cache
def _written(kind: type) -> dict[str, str]:
    """What the docstrings of a class and those it is made of say of each parameter, on one line."""
    found: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        text = inspect.cleandoc(vars(parent).get("__doc__") or "")
        section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S+\n-+$|\Z)", text, re.MULTILINE | re.DOTALL)
        for entry in re.split(r"\n(?=\S)", section[1]) if section else []:
            names, _, said = entry.partition("\n")
            if said.strip():
                plain = " ".join(said.split()).replace("``", "").replace("`", "")
                found |= dict.fromkeys((name.strip() for name in names.partition(" : ")[0].split(",")), plain)
    return found


def _word(kind: type) -> str:
    if is_dataclass(kind):
        return "mapping"
    return _WORDS.get(kind, "text" if issubclass(kind, Enum) else kind.__name__)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.;])\s+(?=[A-Zε—])", text, maxsplit=1)[0].rstrip(".;")
