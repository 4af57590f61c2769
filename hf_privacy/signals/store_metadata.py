"""What a signal store says it belongs to: written once, compared whenever the store is opened again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hf_privacy.errors import InputError

STORE_VERSION = 2
METADATA_FILE = "metadata.json"
# Whose minor versions may give other weights or signals for the same seeds: models trained by one and by another are
# not of one distribution. A patch release mends and does not redesign. Libraries that only some models use are in the
# recipe's hash where they are used (`hf_privacy.references.clone`).
PACKAGES = ("numpy", "torch", "transformers")
REQUIRED_METADATA = (
    "recipe_hash",
    "dataset_fingerprint",
    "split_hash",
    "example_ids_digest",
    "n_models",
    "n_examples",
    "queries",
    "signals",
)


def complete_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata as they are read back from JSON, with the versions of the store, this package and `PACKAGES`.

    Raises
    ------
    InputError
        When a required key is missing.

    Examples
    --------
    >>> complete_metadata({"n_models": 2})
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: metadata has no recipe_hash, dataset_fingerprint, split_hash, example_ids_digest,
    n_examples, queries, signals: a signal store must say what it belongs to
    """
    missing = [key for key in REQUIRED_METADATA if key not in metadata]
    if missing:
        raise InputError(f"metadata has no {', '.join(missing)}: a signal store must say what it belongs to")
    # Its own as the code has it, which an installation's records may lag behind.
    ours = import_module("hf_privacy").__version__
    versions = {"hf_privacy": _minor(ours), **{name: minor_version(name) for name in PACKAGES}}
    return json.loads(json.dumps({"store_version": STORE_VERSION, "versions": versions, **metadata}))


def minor_version(package: str) -> str:
    """Major and minor version of an installed package.

    Examples
    --------
    >>> minor_version("numpy").count(".")
    1
    """
    return _minor(version(package))


def _minor(full: str) -> str:
    return ".".join(full.split(".")[:2])


def store_identity(metadata: Mapping[str, Any]) -> str:
    """What each file of a store says it belongs to: a hash of all metadata but the number of models, which may grow.

    Examples
    --------
    >>> store_identity({"n_models": 2, "split_hash": "a"}) == store_identity({"n_models": 4, "split_hash": "a"})
    True
    """
    described = {name: value for name, value in metadata.items() if name != "n_models"}
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def read_metadata(folder: Path) -> dict[str, Any]:
    """The metadata of the store in `folder`.

    Raises
    ------
    InputError
        When `folder` holds no store, or one of another store version.
    """
    try:
        metadata = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder.name} holds no signal store (no {METADATA_FILE}): pass its folder") from None
    except ValueError:
        raise InputError(f"{METADATA_FILE} in {folder.name} is not JSON: delete the folder and start again") from None
    if metadata.get("store_version") != STORE_VERSION:
        raise InputError(
            f"the signal store {folder.name} has version {metadata.get('store_version')!r} and this package reads "
            f"{STORE_VERSION}: delete it and train its reference models again"
        )
    return metadata


def refuse_stale(name: str, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a store that was made for something else; only the number of models may differ.

    A key that one side lacks is a difference too: a store without the adversarial query says nothing of its attack.

    Raises
    ------
    InputError
        Naming what differs.

    Examples
    --------
    >>> refuse_stale("store", {"n_models": 2, "split_hash": "a"}, {"n_models": 4, "split_hash": "a"})
    """
    different = sorted(key for key in {*wanted, *kept} - {"n_models"} if wanted.get(key) != kept.get(key))
    if different:
        key = different[0]
        raise InputError(
            f"the signal store {name} was made with another {', '.join(different)} ({key} there: {kept.get(key)!r}, "
            f"here: {wanted.get(key)!r}): use another folder, or delete this one to train its reference models again"
        )
