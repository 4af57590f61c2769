"""What of a saved model's folder is published, and the exact bytes of it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from hf_privacy.errors import InputError
from hf_privacy.hub.leaks import refuse_leaks
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
_BINARY = (".safetensors", ".model")


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
                    "base_model_id with the base model's repository id"
                )
            after = {**after, "base_model_name_or_path": base_model_id}
    if after == before:
        return content
    return (json.dumps(after, indent=2, ensure_ascii=False) + "\n").encode()


def _refuse_leaks_in_metadata(file: Path, *, folder: Path, secrets: tuple[str, ...]) -> None:
    """Search the header of a safetensors file, the one part of it that is text."""
    with file.open("rb") as stream:
        header = stream.read(int.from_bytes(stream.read(8), "little"))
    metadata = json.loads(header).get("__metadata__", {})
    refuse_leaks(file.name, json.dumps(metadata).encode(), folder=folder, secrets=secrets)


def _is_plot(name: str, shown: bytes) -> bool:
    return _PLOT.fullmatch(name) is not None or (name.endswith(".png") and name.encode() in shown)


def collect_contents(
    folder: str | Path, *, audited: bool, base_model_id: str | None = None, secrets: tuple[str, ...] = ()
) -> FolderContents:
    """Choose what is published from the top level of a folder, clean it, and search it for leaks.

    Published are the names of an allow-list: weights, model, processor and tokenizer configuration, licence, card,
    the report with its page, and its plots (``privacy_*.png`` and any image the card or the page shows; other images
    may be training examples). Nothing else is: no ``training_args.bin`` (it holds the Hub token), no optimizer,
    scheduler or random state, no pickle, no log, no split, no store.

    Parameters
    ----------
    folder
        The saved model's folder.
    audited
        Whether the folder passed the gate with a report; without one the report's page and plots stay behind.
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
        A file holds a token or a machine path, is no JSON, or is a stray safetensors file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "config.json").write_text('{"_name_or_path": "./out", "hidden_size": 8}')
    ...     _ = Path(folder, "training_args.bin").write_bytes(b"")
    ...     contents = collect_contents(folder, audited=False)
    >>> json.loads(contents.uploads["config.json"]), contents.left_out
    ({'hidden_size': 8}, ('training_args.bin',))
    """
    folder = Path(folder)
    uploads: dict[str, bytes | Path] = {}
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}
    shown = b"".join(files[name].read_bytes() for name in (CARD_NAME, REPORT_PAGE_NAME) if name in files)
    for name, path in files.items():
        if name.endswith(".safetensors") and not is_weights(name):
            raise InputError(
                f"{name} is not the name of model weights, so its tensors have no place in {folder}: move it"
            )
        if is_weights(name):
            _refuse_leaks_in_metadata(path, folder=folder, secrets=secrets)
            uploads[name] = path
        elif name in _CONFIGURATION or name == CARD_NAME:
            content = path.read_bytes()
            if name in {"config.json", "adapter_config.json"}:
                content = _clean_json(name, content, base_model_id)
            uploads[name] = content
        elif audited and (name in {REPORT_NAME, REPORT_PAGE_NAME} or _is_plot(name, shown)):
            uploads[name] = path.read_bytes()
    for name, upload in uploads.items():
        if isinstance(upload, bytes) and not name.endswith(_BINARY):
            refuse_leaks(name, upload, folder=folder, secrets=secrets)
    left_out = tuple(
        path.name + ("/" if path.is_dir() else "") for path in sorted(folder.iterdir()) if path.name not in uploads
    )
    return FolderContents(uploads=uploads, left_out=left_out)
