"""What an attack is made with, and what making it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from hf_privacy.auditing.table import SignalTable


class ScoreSettings(NamedTuple):
    """See `hf_privacy.auditing.scores.attack_scores`."""

    lira_variance: str
    gamma: float
    seed: int


class Made(NamedTuple):
    """Scores, with what the report says of how they were made."""

    scores: np.ndarray
    parameters: dict[str, Any] | None = None
    variant: str = ""


Score: TypeAlias = Callable[[SignalTable, ScoreSettings], "Made | np.ndarray | None"]
"""From a table to scores; None where it holds too few examples or reference models to make any."""
