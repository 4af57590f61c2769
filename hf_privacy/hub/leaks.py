"""Tokens and machine paths in what is about to be published."""

from __future__ import annotations

import html
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_privacy.errors import InputError

# `hf_` and a long run without underscores: a token, and never a name such as hf_hub_download.
_TOKEN = re.compile(r"(?<![A-Za-z0-9_])(?:hf_(?:oauth_|jwt_)?|api_org_)[A-Za-z0-9]{16,}")
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
# A vocabulary is full of pieces of paths: what a tokenizer learnt, not where it was saved.
_VOCABULARIES = frozenset({"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json"})


def _json_strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _json_strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _json_strings(item)
    elif isinstance(value, str):
        yield value


def _own_places(folder: Path) -> list[str]:
    """Paths of this process, which need not lie under a usual root."""
    places = {str(folder.resolve()), str(Path.cwd()), str(Path.home()), tempfile.gettempdir()}
    return sorted(place for place in places if len(place) > 1)


def find_token(text: str, secrets: tuple[str, ...] = ()) -> bool:
    """Whether a text holds an access token of the Hub, or one of the given secrets.

    Parameters
    ----------
    text
        What is about to be published.
    secrets
        Tokens in use, looked for as they are.

    Examples
    --------
    >>> find_token("token: hf_" + "a" * 34), find_token("from huggingface_hub import hf_hub_download")
    (True, False)
    """
    return _TOKEN.search(text) is not None or any(secret in text for secret in secrets if len(secret) >= 8)


def find_machine_path(text: str, folder: Path) -> str | None:
    """The first absolute path of a machine in a text: under a home, work or temporary root, or of this process.

    Examples
    --------
    >>> find_machine_path('{"output_dir": "/home/ann/runs"}', Path("."))
    '/home/ann/runs'
    >>> find_machine_path("see https://example.org/home/ann", Path(".")) is None
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


def refuse_leaks(name: str, content: bytes, *, folder: Path, secrets: tuple[str, ...] = ()) -> None:
    """Raise when a text or image file about to be published holds a token or a machine path.

    JSON is searched as parsed and HTML as unescaped too, so an escape hides nothing. Vocabularies are searched for
    tokens only.

    Parameters
    ----------
    name
        The file's name in the repository; its ending says how it is read.
    content
        The bytes to be uploaded.
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
    texts = [content.decode("utf-8", errors="replace")]
    if name.endswith(".json"):
        try:
            texts.extend(_json_strings(json.loads(texts[0])))
        except ValueError as error:
            raise InputError(f"{folder / name} is not JSON ({error}): repair or remove it before pushing") from error
    elif name.endswith(".html"):
        texts.append(html.unescape(texts[0]))
    for text in texts:
        if find_token(text, secrets):
            raise InputError(
                f"{name} holds an access token of the Hub: remove it (and revoke it if it was published before)"
            )
    if name not in _VOCABULARIES:
        for text in texts:
            path = find_machine_path(text, folder)
            if path is not None:
                raise InputError(f"{name} holds the machine path {path!r}: remove it before pushing")
