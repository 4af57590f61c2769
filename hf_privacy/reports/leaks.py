"""What a published file must never hold: absolute paths and tokens; and the name under which a source may appear."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from huggingface_hub.utils import HFValidationError, validate_repo_id

from hf_privacy.errors import InputError
from hf_privacy.hub.leaks import find_machine_path, leaves
from hf_privacy.hub.secrets import find_secret

_SYSTEM_FOLDERS = "home|root|tmp|Users|mnt|var|etc|opt|srv|usr|private|scratch|workspace"
# A path starts the text or follows a separator, so "and/or", "2026/11/23" and "https://…" are not paths.
_ABSOLUTE_PATH = re.compile(
    r"(?:(?<=^)|(?<=[\s\"'`=:(,\[|]))"
    rf"(?:/(?:[^/\s|]+/)+[^/\s|\"'`),\]]*|/(?:{_SYSTEM_FOLDERS})(?![\w-])|~/[^\s|\"'`),\]]*|[A-Za-z]:\\[^\s|\"'`),\]]*)"
    r"|file://\S+",
    re.MULTILINE,
)


def refuse_leaks(value: Any, *, name: str) -> None:
    """Refuse a value that holds, anywhere inside, an absolute path, a token or a key.

    Parameters
    ----------
    value : str, number, list or dict
        What is about to be published. Dictionaries and lists are searched through, keys included.
    name : str
        What the value is called in the error message.

    Raises
    ------
    InputError
        Naming the field. A token is never repeated in the message.

    Examples
    --------
    >>> refuse_leaks({"optimizer": "adamw", "ratio": "in/out"}, name="training")
    >>> refuse_leaks({"output_dir": "/home/ada/run"}, name="training")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: training.output_dir holds the absolute path '/home/ada/run': publish a name instead
    """
    for field, text in leaves(value, name):
        if not isinstance(text, str):
            continue
        found = find_secret(text.encode("utf-8", "surrogatepass"))
        if found:
            raise InputError(f"{field} holds {found}: take it out, and revoke it if it was ever published")
        # In our own texts any absolute path is one of a machine's; in other people's, those under a usual root.
        match = _ABSOLUTE_PATH.search(text)
        path = match.group() if match else find_machine_path(text)
        if path:
            raise InputError(f"{field} holds the absolute path {path!r}: publish a name instead")


def shorten_paths(text: str) -> str:
    """Give the text with each absolute path cut down to its last part.

    Examples
    --------
    >>> shorten_paths("hf-privacy train --config /home/ada/recipes/digits.yaml")
    'hf-privacy train --config digits.yaml'
    """
    return _ABSOLUTE_PATH.sub(lambda match: _last_part(match.group()), text)


def is_hub_id(value: str | None, *, pinned: bool = False) -> bool:
    """Tell whether a name may be published as a Hub repository: ``owner/name``, and no folder of this machine.

    Parameters
    ----------
    value : str or None
        A model or dataset name as the user gave it.
    pinned : bool
        True when a Hub revision was resolved for it: then a name without an owner is a Hub name too.

    Examples
    --------
    >>> is_hub_id("timm/resnet18.a1_in1k"), is_hub_id("digits"), is_hub_id("imdb", pinned=True)
    (True, False, True)
    >>> is_hub_id("/data/imdb"), is_hub_id("./runs/model"), is_hub_id("../model"), is_hub_id(None)
    (False, False, False, False)
    """
    if not value or value.startswith((".", "~")) or ("/" not in value and not pinned):
        return False
    try:
        validate_repo_id(value)
    except HFValidationError:
        return False
    return not os.path.exists(value)  # from_pretrained and load_dataset, too, prefer a folder of that name


def public_name(value: str, *, pinned: bool = False) -> str:
    """Give the name under which a model or dataset may be published: its Hub id, or the last part of a path.

    Examples
    --------
    >>> public_name("timm/resnet18.a1_in1k"), public_name("/home/ada/models/bert"), public_name("digits")
    ('timm/resnet18.a1_in1k', 'bert', 'digits')
    """
    return value if is_hub_id(value, pinned=pinned) else _last_part(value)


def _last_part(path: str) -> str:
    cut = PureWindowsPath(path) if "\\" in path else PurePosixPath(path)
    return cut.name or "local"
