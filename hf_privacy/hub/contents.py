"""What of a saved model's folder is published, and the exact bytes of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from hf_privacy.errors import InputError
from hf_privacy.hub.leaks import refuse_leaks
from hf_privacy.hub.published import CARD_NAME, REPORT_PAGE_NAME, is_plot, is_weights, published_files
from hf_privacy.hub.schema import REPORT_NAME

# With the plots, these speak of the audit: made for each push, and an earlier one's stay behind.
_MADE = frozenset({REPORT_NAME, REPORT_PAGE_NAME})


def looks_local(reference: str) -> bool:
    """Whether a model reference is a folder of this machine and no repository id of the Hub.

    Examples
    --------
    >>> looks_local("/home/ann/model"), looks_local("./out"), looks_local("timm/resnet18.a1_in1k")
    (True, True, False)
    """
    return (
        os.path.isabs(reference)
        or PureWindowsPath(reference).is_absolute()
        or reference.startswith((".", "~"))
        or "\\" in reference
        or reference.count("/") > 1
        or os.path.isdir(reference)
    )


@dataclass(frozen=True)
class FolderContents:
    """What goes into the commit.

    Attributes
    ----------
    uploads
        The content of each file by its name in the repository: bytes made in memory, or the path of weights.
    left_out
        Names at the folder's top level that are not published.
    """

    uploads: dict[str, bytes | Path]
    left_out: tuple[str, ...]

    def size(self, name: str) -> int:
        """Size of an upload in bytes."""
        content = self.uploads[name]
        return len(content) if isinstance(content, bytes) else content.stat().st_size


def _without_local_name(value: Any) -> Any:
    """A model configuration, and those within it, without the local folder it was loaded from."""
    if isinstance(value, dict):
        return {
            key: _without_local_name(item)
            for key, item in value.items()
            if not (key == "_name_or_path" and isinstance(item, str) and looks_local(item))
        }
    if isinstance(value, list):
        return [_without_local_name(item) for item in value]
    return value


def _clean_json(name: str, content: bytes, base_model_id: str | None) -> bytes:
    """The configuration as published: only a local folder's name is taken out, other bytes stay as they are."""
    try:
        before = json.loads(content)
    except ValueError as error:
        raise InputError(f"{name} is not JSON ({error}): save the model again") from error
    after = _without_local_name(before)
    if name == "adapter_config.json" and isinstance(after, dict):
        base = after.get("base_model_name_or_path")
        if isinstance(base, str) and looks_local(base):
            if base_model_id is None:
                raise InputError(
                    "adapter_config.json names a local folder as its base model, which nobody else can load: pass "
                    "base_model_id (model.base_model_id of a recipe) with the base model's repository id"
                )
            after = {**after, "base_model_name_or_path": base_model_id}
    if after == before:
        return content
    return (json.dumps(after, indent=2, ensure_ascii=False) + "\n").encode()


def _is_shown(name: str, card: bytes) -> bool:
    return re.search(rb"(?<![\w.-])" + re.escape(name.encode()) + rb"(?![\w.-])", card) is not None


def collect_contents(
    folder: str | Path,
    *,
    made: Mapping[str, bytes] | None = None,
    source: str | Path | None = None,
    base_model_id: str | None = None,
    secrets: tuple[str, ...] = (),
) -> FolderContents:
    """Choose what is published from the top level of a folder, clean it, and search it for leaks.

    Published are the names of an allow-list: weights, model, processor and tokenizer configuration, licence, card, and
    any image that the card shows; other images may be training examples. Report, page and plots are published as made
    for this push, never as they lie in the folder. Nothing else is: no ``training_args.bin`` (it holds the Hub token),
    no optimizer, scheduler or random state, no pickle, no log, no split, no store.

    Parameters
    ----------
    folder
        The saved model's folder, or the copy of it that is sent.
    made
        What goes instead of, or besides, the files of the folder, by name: card, report, page and plots.
    source
        The folder as the user knows it, where `folder` is a copy.
    base_model_id
        Repository id that replaces a local base model in ``adapter_config.json``.
    secrets
        Tokens in use, which must appear nowhere.

    Returns
    -------
    FolderContents

    Raises
    ------
    InputError
        A file is a link, holds a token, a key or a machine path, is no JSON, or is a stray safetensors file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "config.json").write_text('{"_name_or_path": "./out", "hidden_size": 8}')
    ...     _ = Path(folder, "training_args.bin").write_bytes(b"")
    ...     contents = collect_contents(folder)
    >>> json.loads(contents.uploads["config.json"]), contents.left_out
    ({'hidden_size': 8}, ('training_args.bin',))
    """
    source = Path(source or folder)
    files = {name: path for name, path in published_files(folder).items() if name not in _MADE}
    uploads: dict[str, bytes | Path] = {
        name: path if is_weights(name) else path.read_bytes()
        for name, path in files.items()
        if not name.endswith(".png")
    }
    uploads.update(made or {})
    for name in ("config.json", "adapter_config.json"):
        content = uploads.get(name)
        if isinstance(content, bytes):
            uploads[name] = _clean_json(name, content, base_model_id)
    card = uploads.get(CARD_NAME, b"")
    for name, path in files.items():
        is_figure = name.endswith(".png") and name not in uploads and not is_plot(name)
        if is_figure and isinstance(card, bytes) and _is_shown(name, card):
            uploads[name] = path.read_bytes()
    for name, upload in uploads.items():
        refuse_leaks(name, upload, folder=source, secrets=secrets)
    left_out = tuple(
        path.name + ("/" if path.is_dir() else "") for path in sorted(source.iterdir()) if path.name not in uploads
    )
    return FolderContents(uploads=uploads, left_out=left_out)
