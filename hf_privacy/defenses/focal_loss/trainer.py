"""Focal loss: what the model is sure of already counts less, so that it is not pressed to become surer."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.predictions import surprise
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.focal_loss.config import FocalLossConfig


class FocalLossTrainer(PrivacyTrainer):
    """`PrivacyTrainer` on mean[(1 − p)^γ·CE], p the probability of the true class, or of a scored token, exp(−CE).

    A control among the defences: like them it spares the model the last of the confidence in its members, but it was
    made for detectors whose easy examples are many, and claims no privacy. The paper's α, which balances foreground
    and background, is left out. Of a language model it is taken token by token, and a row is the mean over its own. It
    is a mean over examples: none depends on another, and accumulation and processes leave the step as it is.

    Parameters
    ----------
    args : FocalLossConfig
    **others
        As in `PrivacyTrainer`.

    References
    ----------
    Lin, Goyal, Girshick, He & Dollár (2017), "Focal loss for dense object detection", ICCV, arXiv 1708.02002.

    Examples
    --------
    >>> from hf_privacy.defenses import FocalLossTrainer
    >>> FocalLossTrainer.paper["id"]
    'arXiv:1708.02002'
    """

    config_class: ClassVar[type[PrivacyConfig]] = FocalLossConfig
    defense_name: ClassVar[str] = "focal_loss"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Focal Loss for Dense Object Detection",
        "id": "arXiv:1708.02002",
        "citation": "Tsung-Yi Lin, Priya Goyal, Ross Girshick, Kaiming He and Piotr Dollár. Focal Loss for Dense "
        "Object Detection. ICCV 2017.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"gamma": 2.0}
    search_space: ClassVar[dict[str, list[Any]]] = {"gamma": [0.5, 1.0, 2.0, 5.0]}

    args: FocalLossConfig

    def loss_phase(self) -> int:
        """One: a step's loss is that of its batch."""
        return 0

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """The focal loss of one batch."""
        outputs = self.forward_without_labels(model, inputs)
        (losses,) = self.task.example_means(outputs, inputs, self._of_predictions)
        return losses.mean(), outputs

    def _of_predictions(self, log_probabilities: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor]:
        losses = surprise(log_probabilities, targets)
        # 1 − p without cancellation, and above 0: the slope of its power is infinite there for γ below 1.
        doubt = -torch.expm1(-losses.clamp(min=torch.finfo(losses.dtype).eps))
        return (doubt**self.args.gamma * losses,)
