"""Names of what a user has written: ``my_package.losses:MyTrainer`` stands wherever a name of ours may stand."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from itertools import takewhile
from typing import Any

from hf_privacy.errors import InputError, one_line


def is_outside(name: str) -> bool:
    """Whether a name is of somebody's own module: it has a colon.

    Examples
    --------
    >>> is_outside("my_package.losses:MyTrainer"), is_outside("relax_loss")
    (True, False)
    """
    return ":" in name


def load_outside(name: str, *, argument: str) -> Any:
    """What ``module:Name`` names; the module is looked for in the working folder too, as ``python -m`` does.

    Parameters
    ----------
    name : str
    argument : str
        What messages call it.

    Raises
    ------
    InputError
        If there is no such module, it fails while it is imported, or there is no such name in it.

    Examples
    --------
    >>> load_outside("math:pi", argument="defense")
    3.141592653589793
    >>> load_outside("math:tau_of_mine", argument="defense")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: defense is 'math:tau_of_mine', and module 'math' has no 'tau_of_mine': name what it
    defines
    """
    module_name, _, attribute = name.partition(":")
    if not attribute.isidentifier() or not all(part.isidentifier() for part in module_name.split(".")):
        raise InputError(f"{argument} is {name!r}: pass module:Name, such as my_package.losses:MyTrainer")
    # A console script has its own folder on the path in place of the one it is called in. Last: it hides nothing.
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise InputError(
                f"{argument} is {name!r}, whose module needs {error.name!r}, which is not there: install it"
            ) from error
        raise InputError(
            f"{argument} is {name!r}, and there is no module {error.name!r}: install it, or start where it lies"
        ) from error
    except Exception as error:
        raise InputError(
            f"{argument} is {name!r}, and importing it fails with {type(error).__name__}: {one_line(error)}"
        ) from error
    if not hasattr(module, attribute):
        raise InputError(
            f"{argument} is {name!r}, and module {module_name!r} has no {attribute!r}: name what it defines"
        )
    return getattr(module, attribute)


def source_sha256(thing: Any) -> str:
    """SHA-256 of the source file that defines a class or function; of its name where no file does (a notebook).

    Examples
    --------
    >>> len(source_sha256(load_outside))
    64
    """
    import hashlib
    import inspect  # only here: importing the package loads next to nothing

    try:
        with open(inspect.getsourcefile(thing) or "", "rb") as file:
            source = file.read()
    except (OSError, TypeError):
        source = f"{thing.__module__}.{thing.__qualname__}".encode()
    return hashlib.sha256(source).hexdigest()


def own_sources(kind: type) -> list[str]:
    """`source_sha256` of a user's own class, and of those it is made of; none for classes of libraries.

    Examples
    --------
    >>> from hf_privacy.errors import InputError
    >>> own_sources(InputError), len(own_sources(type("Own", (InputError,), {"__module__": "own"})))
    ([], 1)
    """
    libraries = ("hf_privacy", "transformers")
    own = takewhile(lambda part: part.__module__.partition(".")[0] not in libraries, kind.__mro__)
    return [source_sha256(part) for part in own]
