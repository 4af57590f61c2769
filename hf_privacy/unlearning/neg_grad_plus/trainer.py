"""NegGrad+: down on what is kept, up on what is to be forgotten."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.tasks import CLASSIFICATION, LANGUAGE_MODELS
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.neg_grad_plus.config import NegGradPlusConfig


class NegGradPlusTrainer(UnlearningTrainer):
    """`UnlearningTrainer` on β·CE(retain) − (1 − β)·CE(forget).

    Parameters
    ----------
    args : NegGradPlusConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Kurmanji et al. (2023), "Towards unbounded machine unlearning", NeurIPS, arXiv 2302.09880, section 4, where it is
    the strong form of the gradient-ascent baseline.

    Examples
    --------
    >>> from hf_privacy.unlearning import NegGradPlusTrainer
    >>> NegGradPlusTrainer.paper_defaults
    {'beta': 0.95}
    """

    config_class: ClassVar[type[NegGradPlusConfig]] = NegGradPlusConfig
    unlearning_name: ClassVar[str] = "neg_grad_plus"
    tasks: ClassVar[tuple[str, ...]] = (*CLASSIFICATION, *LANGUAGE_MODELS)
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Towards Unbounded Machine Unlearning",
        "id": "arXiv:2302.09880",
        "citation": "Meghdad Kurmanji, Peter Triantafillou, Jamie Hayes and Eleni Triantafillou. Towards Unbounded "
        "Machine Unlearning. NeurIPS 2023.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"beta": 0.95}
    search_space: ClassVar[dict[str, list[Any]]] = {"beta": [0.8, 0.9, 0.95, 0.99], "learning_rate": [0.001, 0.01]}

    args: NegGradPlusConfig

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """The weighted difference of the two cross-entropies."""
        kept = self.mean_loss(model, retain)
        forgotten = self.mean_loss(model, forget)
        return self.args.beta * kept - (1 - self.args.beta) * forgotten
