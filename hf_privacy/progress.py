"""Progress that reads well on a terminal and in a log file."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0
_BARS_OFF = "HF_HUB_DISABLE_PROGRESS_BARS"
_silent = False


def shows_bars() -> bool:
    """Whether progress is drawn as bars: on a terminal, unless ``HF_HUB_DISABLE_PROGRESS_BARS`` asks for none."""
    return sys.stderr.isatty() and os.environ.get(_BARS_OFF, "").upper() not in ("1", "ON", "YES", "TRUE")


def is_silent() -> bool:
    """Whether no progress is shown at all, neither bars nor lines."""
    return _silent


@contextmanager
def silence() -> Iterator[None]:
    """While the block runs no progress is shown.

    Examples
    --------
    >>> with silence():
    ...     is_silent()
    True
    """
    global _silent
    before, _silent = _silent, True
    try:
        yield
    finally:
        _silent = before


def progress(
    iterable: Iterable[Item], *, total: int | None = None, description: str = "", enabled: bool = True
) -> Iterator[Item]:
    """Go through `iterable` and show on standard error how far it is and how long it still takes.

    On a terminal this is a tqdm bar (see `shows_bars`). Without one (a log file, a pipe) it is plain lines with the
    count, the time spent and the time left: at most one every ten seconds and one at the end, nothing for work shorter
    than that, nor while it is silenced.

    Parameters
    ----------
    iterable : iterable
        What to go through.
    total : int, optional
        Number of items; taken from ``len(iterable)`` when it is sized. Without it no time left is shown.
    description : str
        What is being done, e.g. ``"reference models"``.
    enabled : bool
        ``False`` passes the items through silently (every process but the first).

    Yields
    ------
    The items, in order.

    Examples
    --------
    >>> list(progress([1, 2, 3], description="counting"))
    [1, 2, 3]
    """
    if not enabled or _silent:
        yield from iterable
    elif shows_bars():
        from tqdm import tqdm  # only here: every command imports this module

        yield from tqdm(iterable, total=total, desc=description, file=sys.stderr, dynamic_ncols=True)
    else:
        if total is None:
            try:
                total = len(iterable)  # type: ignore[arg-type]
            except TypeError:  # an iterator has no length, and needs none
                total = None
        yield from _progress_lines(iterable, total, description)


def _progress_lines(iterable: Iterable[Item], total: int | None, description: str) -> Iterator[Item]:
    start = last = time.monotonic()
    count = 0
    for item in iterable:
        yield item
        count += 1
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and count != total:
            print(_line(count, total, now - start, description), file=sys.stderr, flush=True)
            last = now
    seconds = time.monotonic() - start
    if seconds >= SECONDS_BETWEEN_LINES:
        print(_line(count, count, seconds, description), file=sys.stderr, flush=True)


def _line(count: int, total: int | None, seconds: float, description: str) -> str:
    prefix = f"{description}: " if description else ""
    if total is None:
        return f"{prefix}{count}, {clock(seconds)} spent"
    if count >= total:
        return f"{prefix}{count}/{total}, done in {clock(seconds)}"
    return f"{prefix}{count}/{total}, {clock(seconds)} spent, {clock(seconds / count * (total - count))} left"


def clock(seconds: float) -> str:
    """Seconds as ``m:ss`` or ``h:mm:ss``.

    Examples
    --------
    >>> clock(75.2), clock(3 * 3600 + 5)
    ('1:15', '3:00:05')
    """
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
