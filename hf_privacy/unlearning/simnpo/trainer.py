"""SimNPO: a row is forgotten by its own loss a token, and not beside a reference."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional as F

from hf_privacy.unlearning.base.language import LanguageUnlearningTrainer
from hf_privacy.unlearning.base.trainer import Batch
from hf_privacy.unlearning.simnpo.config import SimNPOConfig


class SimNPOTrainer(LanguageUnlearningTrainer):
    """`LanguageUnlearningTrainer` on −γ·(2/β)·log σ(β·(ℓ − δ)) + α·R(retain), ℓ the mean loss of a row's tokens.

    The mean, where NPO has the sum: long rows are pushed no harder than short ones.

    Parameters
    ----------
    args : SimNPOConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Fan, Liu, Lin, Jia, Zhang, Mei & Liu (2024), "Simplicity prevails: rethinking negative preference optimization for
    LLM unlearning", arXiv 2410.07163.

    Examples
    --------
    >>> from hf_privacy.unlearning import SimNPOTrainer
    >>> SimNPOTrainer.needs_reference
    False
    """

    config_class: ClassVar[type[SimNPOConfig]] = SimNPOConfig
    unlearning_name: ClassVar[str] = "simnpo"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning",
        "id": "arXiv:2410.07163",
        "citation": "Chongyu Fan, Jiancheng Liu, Licong Lin, Jinghan Jia, Ruiqi Zhang, Song Mei and Sijia Liu. "
        "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning. 2024.",
    }
    # Of TOFU's forget05; others of its settings differ.
    paper_defaults: ClassVar[dict[str, Any]] = {"beta": 2.5, "forget_weight": 0.1375}
    search_space: ClassVar[dict[str, list[Any]]] = {
        "beta": [2.5, 4.5],
        "delta": [0.0, 1.0],
        "forget_weight": [0.125, 0.5],
        "learning_rate": [1e-5, 1e-4, 1e-3],
    }

    args: SimNPOConfig

    def forget_loss(self, model: torch.nn.Module, forget: Batch) -> torch.Tensor:
        """−γ·(2/β)·log σ(β·(ℓ − δ)), mean over rows."""
        losses = self.task.example_losses(self.forward_without_labels(model, forget), forget)
        beta = self.args.beta
        return self.args.forget_weight * 2 / beta * F.softplus(-beta * (losses - self.args.delta)).mean()
