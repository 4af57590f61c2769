"""WGA: gradient ascent in which a token that is forgotten already no longer counts."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.unlearning.base.language import LanguageUnlearningTrainer
from hf_privacy.unlearning.base.trainer import Batch
from hf_privacy.unlearning.wga.config import WGAConfig


class WGATrainer(LanguageUnlearningTrainer):
    """`LanguageUnlearningTrainer` on −mean(p^β·ℓ) + α·R(retain), ℓ = −ln p of a token; the weights have no gradient.

    The mean is over a row's scored tokens, then over rows.

    Parameters
    ----------
    args : WGAConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Wang, Zhou, Zhou, Shin, Han & Weinberger (2025), "Rethinking LLM unlearning objectives: a gradient perspective and
    go beyond", ICLR, arXiv 2502.19301.

    Examples
    --------
    >>> from hf_privacy.unlearning import WGATrainer
    >>> WGATrainer.needs_reference
    False
    """

    config_class: ClassVar[type[WGAConfig]] = WGAConfig
    unlearning_name: ClassVar[str] = "wga"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Rethinking LLM Unlearning Objectives: A Gradient Perspective and Go Beyond",
        "id": "arXiv:2502.19301",
        "citation": "Qizhou Wang, Jin Peng Zhou, Zhanke Zhou, Saebyeol Shin, Bo Han and Kilian Q. Weinberger. "
        "Rethinking LLM Unlearning Objectives: A Gradient Perspective and Go Beyond. ICLR 2025.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"beta": [0.5, 1.0, 2.0], "learning_rate": [1e-5, 1e-4, 1e-3]}

    args: WGAConfig

    def forget_loss(self, model: torch.nn.Module, forget: Batch) -> torch.Tensor:
        """−p^β·ℓ of each token, mean over a row's, then over rows."""
        scored = self.forward_without_labels(model, forget)
        losses = self.task.token_losses(scored, forget)
        weighted = torch.exp(-self.args.beta * losses).detach() * losses
        return -scored.row_means(weighted).mean()
