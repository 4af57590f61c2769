"""Warnings that a process gives once: a training of many references would give each of them many times."""

from __future__ import annotations

import warnings

_SAID: set[str] = set()


def warn_once(message: str, *, stacklevel: int = 2) -> None:
    """Warn of it, unless this process has in these words.

    Parameters
    ----------
    message : str
    stacklevel : int
        As in `warnings.warn`: 2 is the line that calls this function.

    Examples
    --------
    >>> with warnings.catch_warnings(record=True) as given:
    ...     warnings.simplefilter("always")
    ...     warn_once("an example of a warning")
    ...     warn_once("an example of a warning")
    >>> len(given)
    1
    """
    if message not in _SAID:
        _SAID.add(message)
        warnings.warn(message, stacklevel=stacklevel)
