"""CE-U: the model learns what it would say if it could not say the row's own token."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional as F

from hf_privacy.unlearning.base.language import LanguageUnlearningTrainer
from hf_privacy.unlearning.base.trainer import Batch
from hf_privacy.unlearning.ceu.config import CEUConfig


class CEUTrainer(LanguageUnlearningTrainer):
    """`LanguageUnlearningTrainer` on CE(softmax(z with z_y = −∞), p) at the scored tokens of the forget rows.

    y is the row's own token and z the model's own logits, of which the target takes no gradient: no model before is
    held. The mean is over a row's scored tokens but for the first, then over rows.

    Parameters
    ----------
    args : CEUConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Yang (2025), "CE-U: cross entropy unlearning", arXiv 2503.01224.

    Examples
    --------
    >>> from hf_privacy.unlearning import CEUTrainer
    >>> CEUTrainer.needs_reference
    False
    """

    config_class: ClassVar[type[CEUConfig]] = CEUConfig
    unlearning_name: ClassVar[str] = "ceu"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "CE-U: Cross Entropy Unlearning",
        "id": "arXiv:2503.01224",
        "citation": "Bo Yang. CE-U: Cross Entropy Unlearning. 2025.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"learning_rate": [1e-6, 1e-5, 1e-4]}

    args: CEUConfig

    def forget_loss(self, model: torch.nn.Module, forget: Batch) -> torch.Tensor:
        """Cross-entropy with the model's own distribution without the token, mean over a row's, then over rows."""
        scored = self.forward_without_labels(model, forget)
        losses = scored.map(_without_the_token)[0]
        counts = scored.counts
        if self.args.skip_first:
            kept = torch.ones_like(losses)
            kept.index_copy_(0, counts.cumsum(0) - counts, (counts == 1).to(kept.dtype))
            losses, counts = losses * kept, (counts - 1).clamp_min(1)
        return (scored.row_sums(losses) / counts).mean()


def _without_the_token(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor]:
    target = logits.detach().scatter(1, targets[:, None], float("-inf")).softmax(dim=-1)
    return (-(target * F.log_softmax(logits, dim=-1)).sum(dim=-1),)
