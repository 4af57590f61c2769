"""Which files of a saved model's folder may be published: an allow-list of names, and no links."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from hf_privacy.errors import InputError
from hf_privacy.hub.schema import REPORT_NAME

CARD_NAME = "README.md"
REPORT_PAGE_NAME = "privacy_report.html"

_WEIGHTS = re.compile(r"(?:adapter_)?model(?:[.-][\w.-]+)?\.safetensors")
_CONFIGURATION = frozenset(
    {
        "config.json",
        "generation_config.json",
        "adapter_config.json",
        "model.safetensors.index.json",
        "adapter_model.safetensors.index.json",
        "preprocessor_config.json",
        "processor_config.json",
        "video_preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "spiece.model",
        "spm.model",
        "sentencepiece.bpe.model",
        "tokenizer.model",
        "chat_template.jinja",
        "chat_template.json",
        "LICENSE",
        "LICENSE.txt",
        "LICENSE.md",
        "NOTICE",
    }
)
_PLOT = re.compile(r"privacy_\w+\.png")


def is_weights(name: str) -> bool:
    """Whether a file name is that of model or adapter weights.

    Examples
    --------
    >>> [is_weights(name) for name in ("model-00001-of-00002.safetensors", "pytorch_model.bin", "store.safetensors")]
    [True, False, False]
    """
    return _WEIGHTS.fullmatch(name) is not None


def is_replaced(name: str) -> bool:
    """Whether a file already in the repository speaks of its weights, so that new weights make it stale.

    Examples
    --------
    >>> is_replaced("privacy_report.json"), is_replaced("model.safetensors.index.json"), is_replaced("config.json")
    (True, True, False)
    """
    return (
        is_weights(name)
        or name in {REPORT_NAME, REPORT_PAGE_NAME}
        or name.endswith(".safetensors.index.json")
        or _PLOT.fullmatch(name) is not None
    )


def is_plot(name: str) -> bool:
    """Whether a file name is that of a report's plot."""
    return _PLOT.fullmatch(name) is not None


def is_published(name: str) -> bool:
    """Whether a file of this name may be published; an image only where the card shows it.

    Examples
    --------
    >>> is_published("config.json"), is_published("training_args.bin"), is_published("privacy_roc.png")
    (True, False, True)
    """
    return (
        name.endswith((".safetensors", ".png"))
        or name in _CONFIGURATION
        or name in {CARD_NAME, REPORT_NAME, REPORT_PAGE_NAME}
    )


def published_files(folder: str | Path) -> dict[str, Path]:
    """The files at the top level of a folder that may be published, by name.

    Raises
    ------
    InputError
        One of them is a link, which may lead to any file of this machine, or is a stray safetensors file.
    """
    files = {}
    for path in sorted(Path(folder).iterdir()):
        if not is_published(path.name):
            continue
        if path.is_symlink():
            raise InputError(
                f"{path.name} in {folder} is a link, and what it leads to would be published: put that file there"
            )
        if path.is_file():
            if path.name.endswith(".safetensors") and not is_weights(path.name):
                raise InputError(
                    f"{path.name} is not the name of model weights, so its tensors have no place in {folder}: move it"
                )
            files[path.name] = path
    return files


def copy_published(folder: str | Path, into: str | Path) -> None:
    """Copy what may be published into a folder of one's own, so that what is checked there is what goes.

    Raises
    ------
    InputError
        As for `published_files`, or the copy cannot be made.
    """
    for name, path in published_files(folder).items():
        try:
            # Where the system knows how, a link put there in the meantime is not followed.
            source = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
            with os.fdopen(source, "rb") as stream, Path(into, name).open("wb") as copy:
                shutil.copyfileobj(stream, copy, 1 << 22)
        except OSError as error:
            raise InputError(
                f"{name} cannot be copied ({error.strerror}), and a push sends a checked copy of each file: see that "
                "it can be read, and that there is room for temporary files (or set TMPDIR to a folder with room)"
            ) from error
