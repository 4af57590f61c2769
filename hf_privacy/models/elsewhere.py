"""A model that was trained elsewhere: its folder, from the Hub where it is there, and what its card says of it."""

from __future__ import annotations

from pathlib import Path

import yaml
from huggingface_hub import metadata_load, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils import validate_repo_id

from hf_privacy.errors import InputError
from hf_privacy.models.checkpoint import cannot_load

# What a model is opened from; no pickles, and nothing of subfolders, such as checkpoints of its training.
_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "README.md"]
_NOT = ["*/*", "consolidated*"]


def model_folder(name_or_path: str, *, revision: str | None = None) -> Path:
    """The folder of a saved model: itself, or where the Hub's files of that id are kept.

    Raises
    ------
    InputError
        For what is neither a folder nor a model on the Hub that can be read.

    Examples
    --------
    >>> model_folder("./no/such/folder")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: the folder ./no/such/folder does not exist: pass a saved model's folder, or a Hub id
    """
    if Path(name_or_path).is_dir():
        return Path(name_or_path)
    try:
        if name_or_path.startswith((".", "~")):
            raise HFValidationError(name_or_path)
        validate_repo_id(name_or_path)
    except HFValidationError:
        raise InputError(
            f"the folder {name_or_path} does not exist: pass a saved model's folder, or a Hub id"
        ) from None
    try:
        found = snapshot_download(name_or_path, revision=revision, allow_patterns=_FILES, ignore_patterns=_NOT)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise InputError(cannot_load(name_or_path, error)) from error
    return Path(found)


def card_base(folder: Path) -> str | None:
    """The one checkpoint that a folder's card says it was fine-tuned from; None where it names none, or several."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    try:
        found = (metadata_load(card) or {}).get("base_model")
    except (yaml.YAMLError, ValueError, UnicodeDecodeError):
        return None
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    return found if isinstance(found, str) and found else None
