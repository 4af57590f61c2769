"""What a package exports, imported when it is first used; and what a room's table of methods adds to that."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

from hf_privacy.arguments import unknown_key
from hf_privacy.errors import InputError
from hf_privacy.outside import is_outside, load_outside


def lazy_exports(
    package: str, names_of: Mapping[str, Iterable[str]], others: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's ``__getattr__``, ``__dir__`` and ``__all__``.

    Parameters
    ----------
    package : str
        The package's ``__name__``.
    names_of : mapping of str to iterable of str
        The modules of the package, and what it exports of each.
    others : mapping of str to str, optional
        Further names, each with the place where it is: ``module:Name``, or a module alone.

    Examples
    --------
    >>> find, _, names = lazy_exports("hf_privacy", {"errors": ["one_line"]}, {"tau": "math:tau"})
    >>> names, find("one_line").__module__
    (['one_line', 'tau'], 'hf_privacy.errors')
    """
    exports = {name: f"{package}.{module}:{name}" for module, names in names_of.items() for name in names}
    exports.update(others or {})

    def find(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = located(exports[name])
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*exports, *vars(sys.modules[package])})

    return find, names, sorted(exports)


def located(place: str) -> Any:
    """What is at one of our own places, ``module:Name`` or a module; what is wrong in it keeps its traceback.

    Examples
    --------
    >>> located("hf_privacy.errors:one_line").__name__, located("math").__name__
    ('one_line', 'math')
    """
    module, _, name = place.partition(":")
    return getattr(import_module(module), name) if name else import_module(module)


def method_exports(table: Mapping[str, str]) -> dict[str, str]:
    """The trainers and configs of a table of methods: ``XTrainer`` has its ``XConfig`` in the ``config`` beside it.

    Examples
    --------
    >>> method_exports({"x": "hf_privacy.defenses.x.trainer:XTrainer"})
    {'XTrainer': 'hf_privacy.defenses.x.trainer:XTrainer', 'XConfig': 'hf_privacy.defenses.x.config:XConfig'}
    """
    exports = {}
    for target in table.values():
        module, _, trainer = target.partition(":")
        config = trainer.removesuffix("Trainer") + "Config"
        exports[trainer] = target
        exports[config] = f"{module.rpartition('.')[0]}.config:{config}"
    return exports


def method_class(name: str, table: Mapping[str, str], *, argument: str, base: str) -> Any:
    """The trainer behind a key of a room's table, or behind ``module:Name``, which must be made of ``base``.

    Raises
    ------
    InputError
        For an unknown key, or a name behind which there is no such class.
    """
    if not is_outside(name):
        if name not in table:
            raise unknown_key(name, sorted(table), argument)
        return located(table[name])
    found, kind = load_outside(name, argument=argument), located(base)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise InputError(f"{argument} is {name!r}, which is no {kind.__name__}: pass a class made of it")
    return found
