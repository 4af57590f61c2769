"""How a command ends that was stopped from outside: one sentence on what it leaves. Light to import."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from hf_privacy.atomic_file import FULL, REFUSED
from hf_privacy.cli.arguments import Options
from hf_privacy.errors import InputError

# Libraries that write by themselves raise errors of their own, with the system's words or number inside.
_NUMBER_INSIDE = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")
# Of torch, and of NumPy, whose error has no number although it is one of the system's.
_WROTE_LESS = re.compile(
    r"PytorchStreamWriter failed writing|unexpected pos \d+ vs \d+|^\d+ requested and \d+ written$"
)


def disk_sentence(error: BaseException) -> str | None:
    """What to say where a disk is full or may not be written; None for every other error.

    Examples
    --------
    >>> disk_sentence(OSError(errno.ENOSPC, "No space left on device", "runs/x/model.safetensors"))
    'the disk is full (No space left on device: runs/x/model.safetensors): make room, then run the same command again;
    what was half-written is gone or will be written again'
    >>> disk_sentence(KeyError("x")) is None
    True
    """
    for one in _chain(error):
        number, words = _number(one), " ".join(str(one).split())
        if isinstance(one, OSError) and one.strerror:
            words = one.strerror + (f": {one.filename}" if one.filename else "")
        if number in FULL:
            return (
                f"the disk is full ({words}): make room, then run the same command again; what was half-written is "
                "gone or will be written again"
            )
        if number in REFUSED:
            return f"the system refuses access ({words}): give it, or choose another output_dir"
    return None


def kept_sentence(command: str, options: Options) -> str:
    """What an interrupted command has kept, and what the same command will do.

    Parameters
    ----------
    command : str
    options : Options
    """
    again = "interrupted; the same command starts again"
    if command in ("compare", "demo"):
        return (
            "interrupted; trainings, reference models and audits that were finished are kept, and the same command "
            "goes on with the rest"
        )
    if command == "push":
        return "interrupted; a push is one commit, which was made whole or not at all: look at the repository"
    if command == "metrics":
        return "interrupted; each metric is one commit: those that were listed are pushed"
    if command == "references":
        return "interrupted; finished references are in the store, and the same command goes on with the rest"
    if command not in ("audit", "train", "unlearn"):
        return again
    try:
        recipe = options.recipe()
    except (InputError, OSError):
        return again
    folder = Path(recipe.output_dir)
    if command == "audit":
        if recipe.audit.depth == "quick":
            return again
        done = len(list((folder / "private" / "references").glob("reference_*.safetensors")))
        return (
            f"interrupted; {done} of {recipe.audit.references} reference models are finished and kept, and the same "
            "command goes on with the rest"
        )
    if command == "train":
        checkpoint, section = _latest(folder.glob("checkpoint-*/manifest.json")), "training"
    else:
        checkpoint = _latest(folder.glob("unlearned/.*.partial/checkpoint-*/manifest.json"))
        section = "unlearning.training"
        if options.flags.get("queue") is not None:
            again = "interrupted; requests in the log are served, and the same command goes on with the next"
            return again + ("" if checkpoint is None else f", from its {checkpoint}")
    if checkpoint is not None:
        return f"interrupted; the same command goes on from {checkpoint}"
    return f"{again}, as no checkpoint is kept: {section}.save_strategy epoch keeps them"


def _latest(manifests: Iterator[Path]) -> str | None:
    """The last checkpoint that has a manifest, by its name; whether it is whole is seen when it is resumed."""
    found = [path.parent.name for path in manifests if path.parent.name.rpartition("-")[2].isdecimal()]
    return max(found, key=lambda name: int(name.rpartition("-")[2]), default=None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _number(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    text = str(error)
    found = _NUMBER_INSIDE.search(text)
    if found:
        return int(found[1] or found[2])
    for number in (*FULL, *REFUSED):
        if len(os.strerror(number)) > 12 and os.strerror(number) in text:
            return number
    return errno.ENOSPC if _WROTE_LESS.search(text) else None
