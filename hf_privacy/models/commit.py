"""Which commit of the Hub a checkpoint came from."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError


def commit_of(name_or_path: str, revision: str | None = None) -> str | None:
    """The commit of a checkpoint that was loaded from the Hub, by what the cache holds of it; asks no network.

    Parameters
    ----------
    name_or_path : str
        As the checkpoint was loaded.
    revision : str, optional
        Branch, tag or commit; by default the main branch.

    Returns
    -------
    str or None
        None for a folder, and for what is not in the cache.

    Examples
    --------
    >>> commit_of("no/such-checkpoint") is None, commit_of(".") is None
    (True, True)
    """
    if not name_or_path or Path(name_or_path).exists():
        return None
    try:
        found = try_to_load_from_cache(name_or_path, "config.json", revision=revision)
    except HFValidationError:  # neither a folder nor the Hub's
        return None
    return Path(found).parent.name if isinstance(found, str) else None
