"""Gradient ascent on what is to be forgotten."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.tasks import CLASSIFICATION, LANGUAGE_MODELS
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.gradient_ascent.config import GradientAscentConfig


class GradientAscentTrainer(UnlearningTrainer):
    """`UnlearningTrainer` that raises the cross-entropy of the forget set, and looks at nothing else.

    The loss has no upper end: without a small learning rate or the stop rule the model is ruined, which is what this
    baseline is there to show.

    Parameters
    ----------
    args : GradientAscentConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Thudi et al. (2022), "Unrolling SGD: understanding factors influencing machine unlearning", EuroS&P, arXiv
    2109.13398.
    """

    config_class: ClassVar[type[GradientAscentConfig]] = GradientAscentConfig
    unlearning_name: ClassVar[str] = "gradient_ascent"
    uses: ClassVar[tuple[str, ...]] = ("forget",)
    anchor: ClassVar[str] = "forget"
    tasks: ClassVar[tuple[str, ...]] = (*CLASSIFICATION, *LANGUAGE_MODELS)
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Unrolling SGD: Understanding Factors Influencing Machine Unlearning",
        "id": "arXiv:2109.13398",
        "citation": "Anvith Thudi, Gabriel Deza, Varun Chandrasekaran and Nicolas Papernot. Unrolling SGD: "
        "Understanding Factors Influencing Machine Unlearning. EuroS&P 2022.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"learning_rate": [1e-5, 1e-4, 1e-3]}

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """Minus the cross-entropy on the forget batch."""
        return -self.mean_loss(model, forget)
