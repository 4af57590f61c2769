"""Arguments of `RandomLabelsTrainer`."""

from __future__ import annotations

from dataclasses import dataclass

from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class RandomLabelsConfig(UnlearningConfig):
    """`UnlearningConfig`; the labels are drawn from the training seed."""
