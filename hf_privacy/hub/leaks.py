"""Tokens and machine paths in what is about to be published."""

from __future__ import annotations

import html
import io
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_privacy.errors import InputError
from hf_privacy.hub.secrets import find_secret

_ROOTS = (
    "home|Users|root|tmp|var|private|mnt|media|opt|srv|data|work|workspace|workspaces|scratch|project|projects|"
    "content|kaggle|export|gpfs|lustre|nfs|storage|net|Volumes|dbfs"
)
# What stands before a path says whether it is one: in https://host/home/x the slash follows the host's name, and in
# base64 it follows a character of the alphabet.
_PATH = re.compile(
    rf"(?<![A-Za-z0-9_.~+/\-%<])/(?:{_ROOTS})/[^\s\"'<>`)\]]+|file:///?[^\s\"'<>`)\]]+|"
    r"(?<![A-Za-z0-9])[A-Za-z]:\\+(?:Users|Documents and Settings|Temp|Windows)\\+[^\s\"'<>`)\]]+"
)
_BINARY = (".model", ".png")
_LONGEST_HEADER = 100_000_000  # the safetensors library takes no longer one
# A vocabulary is full of pieces of paths: what a tokenizer learnt, not where it was saved.
_VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json"})


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar inside dictionaries and lists, their keys too, each with where it stands."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"a key of {name}", str(key)
            yield from leaves(item, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{name}[{index}]")
    else:
        yield name, value


def _own_places(folder: Path | None) -> list[str]:
    """Paths of this process, which need not lie under a usual root."""
    places = {str(Path.cwd()), str(Path.home()), tempfile.gettempdir()}
    if folder is not None:
        places.add(str(folder.resolve()))
    return sorted(place for place in places if len(place) > 1)


def find_machine_path(text: str, folder: Path | None = None) -> str | None:
    """The first absolute path of a machine in a text: under a home, work or temporary root, or of this process.

    Examples
    --------
    >>> find_machine_path('{"output_dir": "/home/ann/runs"}')
    '/home/ann/runs'
    >>> find_machine_path("see https://example.org/home/ann") is None
    True
    """
    match = _PATH.search(text)
    if match is not None:
        return match.group()
    for place in _own_places(folder):
        match = re.search(rf"(?<![A-Za-z0-9_.~+/\-%<]){re.escape(place)}(?![A-Za-z0-9_.\-])", text)
        if match is not None:
            return match.group()
    return None


def refuse_leaks(name: str, content: bytes | Path, *, folder: Path, secrets: tuple[str, ...] = ()) -> None:
    """Raise when a file about to be published holds a token or key, or a text file a machine path.

    Tokens and keys are searched for in every byte (see :func:`hf_privacy.hub.secrets.find_secret`). JSON is searched
    as parsed and HTML as unescaped too, so an escape hides nothing. Vocabularies, images and weights are not searched
    for paths, but the metadata of weights is.

    Parameters
    ----------
    name
        The file's name in the repository; its ending says how it is read.
    content
        The bytes to be uploaded, or the file they are in.
    folder
        The local model folder, whose own path must not appear either.
    secrets
        Tokens in use.

    Raises
    ------
    InputError
        Names the file and what was found, without the token.

    Examples
    --------
    >>> refuse_leaks("README.md", b"my model", folder=Path("."))
    """
    written = _written(name, content, folder)
    decoded = "\n".join(_decoded(name, written, folder))
    found = find_secret(content, secrets) or find_secret(decoded.encode("utf-8", "surrogatepass"), secrets)
    if found is not None:
        raise InputError(f"{name} holds {found}: remove it (and revoke it if it was published before)")
    if name not in _VOCABULARIES:
        for text in (written, written.replace("\0", ""), decoded):  # UTF-16 is ASCII with zeros between
            path = find_machine_path(text, folder)
            if path is not None:
                raise InputError(f"{name} holds the machine path {path!r}: remove it before pushing")


def _written(name: str, content: bytes | Path, folder: Path) -> str:
    """What of a file is text: all of it, the metadata of weights, nothing of an image or a vocabulary in binary."""
    if name.endswith(".safetensors"):
        return json.dumps(_metadata(name, content, folder))
    if name.endswith(_BINARY):
        return ""
    content = content if isinstance(content, bytes) else content.read_bytes()
    return content.decode("utf-8", errors="replace")


def _metadata(name: str, content: bytes | Path, folder: Path) -> Any:
    """The free part of a safetensors file's header, the one part of it that is text."""
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(min(length, _LONGEST_HEADER))
    try:
        return json.loads(header).get("__metadata__", {})
    except (ValueError, AttributeError) as error:
        raise InputError(f"{folder / name} is no readable safetensors file: save the model again") from error


def _decoded(name: str, text: str, folder: Path) -> Iterator[str]:
    """What escapes stand for, in JSON and HTML."""
    if name.endswith((".json", ".safetensors")):
        try:
            yield from (leaf for _, leaf in leaves(json.loads(text)) if isinstance(leaf, str))
        except ValueError as error:
            raise InputError(f"{folder / name} is not JSON ({error}): repair or remove it before pushing") from error
    elif name.endswith(".html"):
        yield html.unescape(text)
