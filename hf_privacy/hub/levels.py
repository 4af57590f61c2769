"""Where the verdict's levels begin: by this package's bounds, or by those that a recipe sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hf_privacy.errors import InputError

LEVELS = ("not shown", "low", "moderate", "high", "very high")
# Where a level begins. By a TPR: how many times as many training records are found as others are by mistake; by AUC.
TIMES = {"moderate": 2.0, "high": 5.0, "very high": 20.0}
AREAS = {"moderate": 0.55, "high": 0.65, "very high": 0.8}


def levels_record(times: Sequence[float] | None, aucs: Sequence[float] | None) -> dict[str, list[float]] | None:
    """A recipe's bounds as the report holds them; None where it sets none.

    Parameters
    ----------
    times : sequence of float, optional
        Where moderate, high and very high begin, by how many times as many training records are found as others are
        claimed by mistake: rising, each above 0.
    aucs : sequence of float, optional
        The same by the AUC: rising, each in [0.5, 1].

    Raises
    ------
    InputError
        If they are not three rising numbers, or lie elsewhere.

    Examples
    --------
    >>> levels_record([3, 10, 50], None)
    {'times': [3.0, 10.0, 50.0]}
    >>> levels_record(None, None) is None
    True
    """
    found = {}
    for key, name, given, (low, high) in (
        ("times", "level_times", times, (0.0, math.inf)),
        ("aucs", "level_aucs", aucs, (0.5, 1.0)),
    ):
        if given is not None:
            found[key] = _checked(name, given, low, high)
    return found or None


def bounds_of(report: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Where the levels begin for a report, by times and by AUC.

    Examples
    --------
    >>> bounds_of({"levels": {"times": [3.0, 10.0, 50.0]}})[0]
    {'moderate': 3.0, 'high': 10.0, 'very high': 50.0}
    >>> bounds_of({}) == (TIMES, AREAS)
    True
    """
    given = report.get("levels") or {}
    times, areas = (
        dict(zip(usual, given[key], strict=True)) if key in given else usual
        for key, usual in (("times", TIMES), ("aucs", AREAS))
    )
    return times, areas


def level_at(value: float, bounds: Mapping[str, float]) -> str:
    """The level that a value has reached.

    Examples
    --------
    >>> level_at(5.0, TIMES), level_at(0.51, AREAS)
    ('high', 'low')
    """
    return next((level for level in reversed(list(bounds)) if value >= bounds[level] * (1 - 1e-9)), "low")


def _checked(name: str, given: Any, low: float, high: float) -> list[float]:
    listed = isinstance(given, (list, tuple)) and len(given) == 3
    numbers = listed and all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in given)
    if not numbers or not low <= given[0] < given[1] < given[2] <= high or not 0 < given[0] < math.inf > given[2]:
        where = "all above 0" if math.isinf(high) else f"all in [{low:g}, {high:g}]"
        raise InputError(
            f"{name} is {given!r}: pass where moderate, high and very high begin, three rising numbers, {where}"
        )
    return [float(one) for one in given]
