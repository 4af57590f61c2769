"""NPO: a row to be forgotten is an answer not to be preferred to what the model said before."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional as F

from hf_privacy.unlearning.base.language import LanguageUnlearningTrainer
from hf_privacy.unlearning.base.trainer import Batch
from hf_privacy.unlearning.npo.config import NPOConfig


class NPOTrainer(LanguageUnlearningTrainer):
    """`LanguageUnlearningTrainer` on −(2/β)·log σ(−β·ln p(row)/p_reference(row)) + α·R(retain).

    ln p of a row is the sum over its scored tokens; the reference is the model before unlearning, adapter included, in
    evaluation mode. A row that has become unlikely loses its weight, where gradient ascent pushes on without end.

    Parameters
    ----------
    args : NPOConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Zhang, Lin, Bai & Mei (2024), "Negative preference optimization: from catastrophic collapse to effective
    unlearning", COLM, arXiv 2404.05868.

    Examples
    --------
    >>> from hf_privacy.unlearning import NPOTrainer
    >>> NPOTrainer.paper_defaults
    {'beta': 0.1}
    """

    config_class: ClassVar[type[NPOConfig]] = NPOConfig
    unlearning_name: ClassVar[str] = "npo"
    needs_reference: ClassVar[bool] = True
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning",
        "id": "arXiv:2404.05868",
        "citation": "Ruiqi Zhang, Licong Lin, Yu Bai and Song Mei. Negative Preference Optimization: From "
        "Catastrophic Collapse to Effective Unlearning. COLM 2024.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"beta": 0.1}
    search_space: ClassVar[dict[str, list[Any]]] = {"beta": [0.05, 0.1, 0.5], "learning_rate": [1e-5, 1e-4, 1e-3]}

    args: NPOConfig

    def forget_loss(self, model: torch.nn.Module, forget: Batch) -> torch.Tensor:
        """−(2/β)·log σ(−β·log-ratio), mean over rows."""
        return npo_loss(self.log_ratio(model, forget), beta=self.args.beta)


def npo_loss(log_ratio: torch.Tensor, *, beta: float) -> torch.Tensor:
    """−(2/β)·log σ(−β·r), mean over rows.

    Parameters
    ----------
    log_ratio : tensor of shape [B]
        r = ln p(row) − ln p_reference(row).
    beta : float above 0

    Examples
    --------
    >>> npo_loss(torch.zeros(2), beta=2.0)  # ln 2
    tensor(0.6931)
    """
    return 2 / beta * F.softplus(beta * log_ratio).mean()
