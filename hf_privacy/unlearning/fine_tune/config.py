"""Arguments of `FineTuneTrainer`."""

from __future__ import annotations

from dataclasses import dataclass

from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class FineTuneConfig(UnlearningConfig):
    """`UnlearningConfig`; fine-tuning has no arguments of its own."""
