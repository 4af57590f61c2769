"""What a command prints: text for people, one JSON document for programs (`--json`), or nothing (`--quiet`).

With `--json` standard output holds the document alone, strict JSON without NaN; what is otherwise printed on the way
goes to standard error. With `--quiet` standard error holds errors alone. Light to import.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from hf_privacy.progress import is_silent, silence

if TYPE_CHECKING:
    from hf_privacy.recipe.config import Recipe

_document_to: TextIO | None = None


@contextmanager
def output(*, as_json: bool, quiet: bool) -> Iterator[None]:
    """While the block runs, print as `--json` and `--quiet` ask for."""
    global _document_to
    before = _document_to
    with ExitStack() as stack:
        if as_json:
            _document_to = sys.stdout
        if quiet:
            stack.enter_context(silence())
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        elif as_json:
            stack.enter_context(redirect_stdout(sys.stderr))
        try:
            yield
        finally:
            _document_to = before


def show(text: str, document: Callable[[], Mapping[str, Any]]) -> None:
    """Print a command's figures: the text, or with `--json` the document.

    Parameters
    ----------
    text : str
    document : callable
        Makes what the text says as a mapping with plain values; asked only where it is wanted.
    """
    if _document_to is None:
        print(text)
    else:
        written = json.dumps(plain(document()), indent=2, ensure_ascii=False, allow_nan=False)
        print(written, file=_document_to, flush=True)


def plain(value: Any) -> Any:
    """A value as strict JSON has it: a figure that is not finite becomes null, a path its text.

    Examples
    --------
    >>> plain({"auc": float("nan"), "files": (Path("a") / "b",)})
    {'auc': None, 'files': ['a/b']}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def workers_stdout() -> int | None:
    """Where processes beside this one print to, as `subprocess.Popen` takes it; None where this one does."""
    if is_silent():
        return subprocess.DEVNULL
    return None if _document_to is None else 2


def heeded(recipe: Recipe) -> Recipe:
    """The recipe; where it asks for no bars (``training.disable_tqdm``), no library draws one from here on."""
    if recipe.training.get("disable_tqdm"):
        without_bars()
    return recipe


def without_bars() -> None:
    """Ask the libraries for no bars before they are imported; ours turn into plain lines by the same variable."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
