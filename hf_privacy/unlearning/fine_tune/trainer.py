"""Fine-tuning on what is kept: the weakest baseline, which forgets by neglect."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.tasks import CLASSIFICATION, LANGUAGE_MODELS
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.fine_tune.config import FineTuneConfig


class FineTuneTrainer(UnlearningTrainer):
    """`UnlearningTrainer` on the cross-entropy of the retain set alone.

    The control of every other method that also trains on the retain set: what it forgets, they get for nothing.

    Parameters
    ----------
    args : FineTuneConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Golatkar et al. (2020), "Eternal sunshine of the spotless net", CVPR, arXiv 1911.04933, section 5.
    """

    config_class: ClassVar[type[FineTuneConfig]] = FineTuneConfig
    unlearning_name: ClassVar[str] = "fine_tune"
    tasks: ClassVar[tuple[str, ...]] = (*CLASSIFICATION, *LANGUAGE_MODELS)
    uses: ClassVar[tuple[str, ...]] = ("retain",)
    anchor: ClassVar[str] = "retain"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
        "id": "arXiv:1911.04933",
        "citation": "Aditya Golatkar, Alessandro Achille and Stefano Soatto. Eternal Sunshine of the Spotless Net: "
        "Selective Forgetting in Deep Networks. CVPR 2020.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"learning_rate": [0.001, 0.01, 0.1]}

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """Cross-entropy on the retain batch."""
        return self.mean_loss(model, retain)
