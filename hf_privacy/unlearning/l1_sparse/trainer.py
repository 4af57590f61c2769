"""L1-sparse: fine-tuning that also prunes, since sparse models forget more easily."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.tasks import CLASSIFICATION, LANGUAGE_MODELS
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.l1_sparse.config import L1SparseConfig


class L1SparseTrainer(UnlearningTrainer):
    """`UnlearningTrainer` on CE(retain) + γ_t·‖w‖₁ over all trainable weights, γ_t falling linearly to 0.

    Parameters
    ----------
    args : L1SparseConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Jia et al. (2023), "Model sparsity can simplify machine unlearning", NeurIPS, arXiv 2304.04934, section 4 and
    appendix (the linearly decaying γ).
    """

    config_class: ClassVar[type[L1SparseConfig]] = L1SparseConfig
    unlearning_name: ClassVar[str] = "l1_sparse"
    tasks: ClassVar[tuple[str, ...]] = (*CLASSIFICATION, *LANGUAGE_MODELS)
    uses: ClassVar[tuple[str, ...]] = ("retain",)
    anchor: ClassVar[str] = "retain"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Model Sparsity Can Simplify Machine Unlearning",
        "id": "arXiv:2304.04934",
        "citation": "Jinghan Jia, Jiancheng Liu, Parikshit Ram, Yuguang Yao, Gaowen Liu, Yang Liu, Pranay Sharma and "
        "Sijia Liu. Model Sparsity Can Simplify Machine Unlearning. NeurIPS 2023.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"gamma": [1e-5, 1e-4, 5e-4, 1e-3]}

    args: L1SparseConfig

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """Cross-entropy on the retain batch with the penalty of this step."""
        weight = self.args.gamma * (1 - self.state.global_step / max(self.state.max_steps, 1))
        norm = sum(parameter.abs().sum() for parameter in model.parameters() if parameter.requires_grad)
        return self.mean_loss(model, retain) + weight * norm
