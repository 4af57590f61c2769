"""How much a model's behaviour on an example owes to having been trained on that example."""

from __future__ import annotations

from hf_privacy.memorization.bins import BIN_EDGES, memorization_bin
from hf_privacy.memorization.feldman_zhang import feldman_zhang

__all__ = ["BIN_EDGES", "feldman_zhang", "memorization_bin"]
