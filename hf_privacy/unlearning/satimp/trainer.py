"""SatImp: gradient ascent on the tokens that the model knows and is not yet sure of."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.unlearning.base.language import LanguageUnlearningTrainer
from hf_privacy.unlearning.base.trainer import Batch
from hf_privacy.unlearning.satimp.config import SatImpConfig


class SatImpTrainer(LanguageUnlearningTrainer):
    """`LanguageUnlearningTrainer` on −mean(p^β₁·(1 − p)^β₂·ℓ) + α·R(retain); the weights have no gradient.

    ℓ = −ln p of a token. The mean is over a row's scored tokens, then over rows. With β₂ = 0 it is WGA.

    Parameters
    ----------
    args : SatImpConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Yang et al. (2025), "Exploring criteria of loss reweighting to enhance LLM unlearning", ICML, arXiv 2505.11953.

    Examples
    --------
    >>> from hf_privacy.unlearning import SatImpTrainer
    >>> SatImpTrainer.needs_reference
    False
    """

    config_class: ClassVar[type[SatImpConfig]] = SatImpConfig
    unlearning_name: ClassVar[str] = "satimp"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Exploring Criteria of Loss Reweighting to Enhance LLM Unlearning",
        "id": "arXiv:2505.11953",
        "citation": "Puning Yang, Qizhou Wang, Zhuo Huang, Tongliang Liu, Chengqi Zhang and Bo Han. Exploring "
        "Criteria of Loss Reweighting to Enhance LLM Unlearning. ICML 2025.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"beta1": 5.0, "beta2": 1.0}
    search_space: ClassVar[dict[str, list[Any]]] = {
        "beta1": [1.0, 5.0],
        "beta2": [0.1, 1.0],
        "learning_rate": [1e-5, 1e-4, 1e-3],
    }

    args: SatImpConfig

    def forget_loss(self, model: torch.nn.Module, forget: Batch) -> torch.Tensor:
        """−p^β₁·(1 − p)^β₂·ℓ of each token, mean over a row's, then over rows."""
        scored = self.forward_without_labels(model, forget)
        losses = self.task.token_losses(scored, forget)
        known = losses.detach()
        weights = torch.exp(-self.args.beta1 * known) * (-torch.expm1(-known)) ** self.args.beta2
        return -scored.row_means(weights * losses).mean()
