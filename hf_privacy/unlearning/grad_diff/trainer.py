"""Gradient difference: ascent on the forget rows beside descent on the retain rows."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.unlearning.base.language import LanguageUnlearningTrainer
from hf_privacy.unlearning.base.trainer import Batch
from hf_privacy.unlearning.grad_diff.config import GradDiffConfig


class GradDiffTrainer(LanguageUnlearningTrainer):
    """`LanguageUnlearningTrainer` on −γ·NLL(forget) + α·R(retain), each row's mean over its own scored tokens.

    R is the retain rows' negative log-likelihood or, with ``retain_loss="kl"``, their divergence from the model before
    unlearning, at scored tokens alone: prompts and padding have no part in it. Like gradient ascent it has no end.

    Parameters
    ----------
    args : GradDiffConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Liu, Liu & Stone (2022), "Continual learning and private unlearning", CoLLAs, arXiv 2203.12817; as a baseline of
    language models in Maini et al. (2024), "TOFU", arXiv 2401.06121, whose weights are 1.

    Examples
    --------
    >>> from hf_privacy.unlearning import GradDiffTrainer
    >>> GradDiffTrainer.tasks
    ('causal-lm',)
    """

    config_class: ClassVar[type[GradDiffConfig]] = GradDiffConfig
    unlearning_name: ClassVar[str] = "grad_diff"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Continual Learning and Private Unlearning",
        "id": "arXiv:2203.12817",
        "citation": "Bo Liu, Qiang Liu and Peter Stone. Continual Learning and Private Unlearning. CoLLAs 2022.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {
        "forget_weight": [0.25, 1.0],
        "retain_loss": ["nll", "kl"],
        "learning_rate": [1e-5, 1e-4, 1e-3],
    }

    args: GradDiffConfig

    def forget_loss(self, model: torch.nn.Module, forget: Batch) -> torch.Tensor:
        """Minus the weighted negative log-likelihood."""
        return -self.args.forget_weight * self.mean_loss(model, forget)
