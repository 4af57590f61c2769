"""Arguments of `GradientAscentTrainer`."""

from __future__ import annotations

from dataclasses import dataclass

from hf_privacy.unlearning.base.config import UnlearningConfig


@dataclass
class GradientAscentConfig(UnlearningConfig):
    """`UnlearningConfig`; gradient ascent has no arguments of its own, and wants a small learning rate."""
