"""Checks of what a device computes, whose answers are read when something is read from it anyway.

To ask a device whether a batch is fit, the host waits until all that was given to it is done. A training asks at each
step and looks at nothing in between: there the answers are kept on the device, and read together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_KEPT: ContextVar[DeferredChecks | None] = ContextVar("deferred_checks", default=None)

Say = Callable[..., Exception]


def require(holds: torch.Tensor, say: Say, *values: torch.Tensor) -> None:
    """Raise unless a bool scalar is True: at once, or within `DeferredChecks` when those are read.

    Parameters
    ----------
    holds : bool tensor, scalar
        On any device.
    say : callable
        Makes the error, from the `values` as floats. What is said in one place of the code is one check.
    *values : tensor, scalar
        Those of the first time that it did not hold are told.

    Examples
    --------
    >>> require(torch.tensor(False), lambda most: ValueError(f"up to {most}"), torch.tensor(2.0))
    Traceback (most recent call last):
    ...
    ValueError: up to 2.0
    """
    kept = _KEPT.get()
    if kept is not None:
        kept._add(holds, say, values)
    elif not bool(holds):
        raise say(*(float(value) for value in values))


class DeferredChecks:
    """Keeps the answers of `require` on the device.

    Examples
    --------
    >>> checks = DeferredChecks()
    >>> with checks.deferred():
    ...     require(torch.tensor(False), lambda: ValueError("not fit"))
    >>> checks.read()
    Traceback (most recent call last):
    ...
    ValueError: not fit
    >>> checks.read()  # told once
    """

    def __init__(self) -> None:
        # By where it is said: whether it always held, and the values of when it first did not.
        self._answers: dict[object, tuple[Say, torch.Tensor, tuple[torch.Tensor, ...]]] = {}

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, nothing is raised."""
        token = _KEPT.set(self)
        try:
            yield
        finally:
            _KEPT.reset(token)

    def read(self) -> None:
        """Raise the first thing that did not hold since the last time."""
        answers, self._answers = list(self._answers.values()), {}
        for say, held, values in answers:
            if not bool(held):
                raise say(*(float(value) for value in values))

    def _add(self, holds: torch.Tensor, say: Say, values: tuple[torch.Tensor, ...]) -> None:
        place = getattr(say, "__code__", say)
        holds, values = holds.detach(), tuple(value.detach() for value in values)
        if place in self._answers:
            _, held, before = self._answers[place]
            values = tuple(torch.where(held, now, then) for now, then in zip(values, before, strict=True))
            holds = held & holds
        self._answers[place] = (say, holds, values)
