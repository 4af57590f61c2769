"""Selective synaptic dampening: shrink what matters more to the forgotten examples than to all."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.tasks import CLASSIFICATION, LANGUAGE_MODELS
from hf_privacy.unlearning.base.trainer import UnlearningTrainer
from hf_privacy.unlearning.ssd.config import SSDConfig
from hf_privacy.weights import dampen, fisher


class SSDTrainer(UnlearningTrainer):
    """`UnlearningTrainer` that multiplies w by min(λ·F_all/F_forget, 1) where F_forget > α·F_all; no epochs.

    F is the diagonal of the empirical Fisher information, gradients squared example by example; F_all is that of
    the whole training set, forget and retain.

    Parameters
    ----------
    args : SSDConfig
    **others
        As in `UnlearningTrainer`.

    Attributes
    ----------
    mask : dict of str to bool tensor
        After `unlearn`: the parameters that were dampened; it may be empty of True.

    References
    ----------
    Foster et al. (2024), "Fast machine unlearning without retraining through selective synaptic dampening", AAAI,
    arXiv 2308.07707, equations 4 and 5.
    """

    config_class: ClassVar[type[SSDConfig]] = SSDConfig
    unlearning_name: ClassVar[str] = "ssd"
    tasks: ClassVar[tuple[str, ...]] = (*CLASSIFICATION, *LANGUAGE_MODELS)
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening",
        "id": "arXiv:2308.07707",
        "citation": "Jack Foster, Stefan Schoepf and Alexandra Brintrup. Fast Machine Unlearning Without Retraining "
        "Through Selective Synaptic Dampening. AAAI 2024.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"selection_weight": 10.0, "dampening": 1.0}
    search_space: ClassVar[dict[str, list[Any]]] = {
        "selection_weight": [1.0, 5.0, 10.0, 50.0],
        "dampening": [0.1, 0.5, 1.0],
    }

    args: SSDConfig

    def prepare(self) -> None:
        """Importance of every trainable parameter, on the forget set and on all data."""
        model = self.accelerator.unwrap_model(self.model)
        forget, retain = (
            fisher(model, self.batches_of(dataset), parameters=self.trainable())
            for dataset in (self.forget_dataset, self.retain_dataset)
        )
        n_forget, n_retain = len(self.forget_dataset), len(self.retain_dataset)
        self.mask: dict[str, torch.Tensor] = {}
        self.factors: dict[str, torch.Tensor] = {}
        for name, own in forget.items():
            everywhere = (own * n_forget + retain[name] * n_retain) / (n_forget + n_retain)
            self.mask[name] = own > self.args.selection_weight * everywhere
            # where nothing is selected the factor is not used, and 0/0 must not arise
            ratio = everywhere / own.clamp_min(torch.finfo(own.dtype).tiny)
            self.factors[name] = (self.args.dampening * ratio).clamp(0.0, 1.0)

    def edit(self) -> None:
        """Dampen."""
        dampen(self.accelerator.unwrap_model(self.model), self.mask, self.factors)
