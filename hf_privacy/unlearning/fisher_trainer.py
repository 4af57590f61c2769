"""Fisher forgetting: noise on what the kept examples do not need."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.unlearning.base_trainer import UnlearningTrainer
from hf_privacy.unlearning.fisher_config import FisherConfig
from hf_privacy.weights import fisher, perturb

_SMALLEST_FISHER = 1e-8


class FisherTrainer(UnlearningTrainer):
    """`UnlearningTrainer` that adds √(α/(F + 1e-8))·N(0, 1) to each weight, F the Fisher information on `retain`.

    1/F is cut to ``largest_inverse``, in the last layer to ``largest_inverse_head``. The last layer is what has one
    row, or one entry, for each class.

    Parameters
    ----------
    args : FisherConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Golatkar et al. (2020), "Eternal sunshine of the spotless net", CVPR, arXiv 1911.04933, equation 11, and the
    authors' code for the cuts.
    """

    config_class: ClassVar[type[FisherConfig]] = FisherConfig
    unlearning_name: ClassVar[str] = "fisher"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
        "id": "arXiv:1911.04933",
        "citation": "Aditya Golatkar, Alessandro Achille and Stefano Soatto. Eternal Sunshine of the Spotless Net: "
        "Selective Forgetting in Deep Networks. CVPR 2020.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {
        "alpha": 1e-6,
        "largest_inverse": 1e3,
        "largest_inverse_head": 1e2,
        "exact": False,
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"alpha": [1e-9, 1e-8, 1e-7, 1e-6, 1e-5]}

    args: FisherConfig

    def prepare(self) -> None:
        """The noise's standard deviation for each trainable parameter."""
        model = self.accelerator.unwrap_model(self.model)
        batches = self.batches_of(self.retain_dataset)
        information = fisher(model, batches, parameters=self.trainable(), empirical=not self.args.exact)
        n_classes = model.config.num_labels
        self.deviation: dict[str, torch.Tensor] = {}
        for name, value in information.items():
            is_head = value.ndim > 0 and value.shape[0] == n_classes
            largest = self.args.largest_inverse_head if is_head else self.args.largest_inverse
            inverse = (value + _SMALLEST_FISHER).reciprocal().clamp_max(largest)
            self.deviation[name] = (self.args.alpha * inverse).sqrt()

    def edit(self) -> None:
        """Add the noise."""
        model = self.accelerator.unwrap_model(self.model)
        everything = {name: torch.ones_like(value, dtype=torch.bool) for name, value in self.deviation.items()}
        perturb(model, everything, sigma=self.deviation, generator=torch.Generator().manual_seed(self.args.seed))
