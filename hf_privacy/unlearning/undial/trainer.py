"""UNDIAL: the model learns what it said before, with the row's own tokens made unlikely."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional as F

from hf_privacy.unlearning.base.language import LanguageUnlearningTrainer
from hf_privacy.unlearning.base.trainer import Batch
from hf_privacy.unlearning.undial.config import UNDIALConfig


class UNDIALTrainer(LanguageUnlearningTrainer):
    """`LanguageUnlearningTrainer` on CE(softmax(z_reference − β·1_y), p) at the scored tokens of the forget rows.

    y is the row's own token, z_reference the logits of the model before unlearning. The mean is over a row's scored
    tokens, then over rows. The target is fixed, so that training ends where it says, and does not run away.

    Parameters
    ----------
    args : UNDIALConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Dong, Lin, Belkin, Huerta & Vulić (2024), "UNDIAL: self-distillation with adjusted logits for robust unlearning in
    large language models", NAACL 2025, arXiv 2402.10052.

    Examples
    --------
    >>> from hf_privacy.unlearning import UNDIALTrainer
    >>> UNDIALTrainer.needs_reference
    True
    """

    config_class: ClassVar[type[UNDIALConfig]] = UNDIALConfig
    unlearning_name: ClassVar[str] = "undial"
    needs_reference: ClassVar[bool] = True
    paper: ClassVar[dict[str, str] | None] = {
        "title": "UNDIAL: Self-Distillation with Adjusted Logits for Robust Unlearning in Large Language Models",
        "id": "arXiv:2402.10052",
        "citation": "Yijiang River Dong, Hongzhou Lin, Mikhail Belkin, Ramon Huerta and Ivan Vulić. UNDIAL: "
        "Self-Distillation with Adjusted Logits for Robust Unlearning in Large Language Models. NAACL 2025.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"beta": [3.0, 10.0], "learning_rate": [1e-5, 1e-4, 1e-3]}

    args: UNDIALConfig

    def forget_loss(self, model: torch.nn.Module, forget: Batch) -> torch.Tensor:
        """Cross-entropy with the held-down distribution, mean over a row's tokens, then over rows."""
        beta = self.args.beta

        def losses(logits: torch.Tensor, targets: torch.Tensor, before: torch.Tensor) -> tuple[torch.Tensor]:
            target = before.scatter_add(1, targets[:, None], before.new_full((len(targets), 1), -beta)).softmax(dim=-1)
            return (-(target * F.log_softmax(logits, dim=-1)).sum(dim=-1),)

        scored = self.forward_without_labels(model, forget)
        before = self.of_reference(self.forward_without_labels, forget)
        return scored.row_means(scored.map(losses, before)[0]).mean()
