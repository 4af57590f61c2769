"""Fisher forgetting: noise on what the kept examples do not need."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.models.head import class_parameters
from hf_privacy.unlearning.base.trainer import UnlearningTrainer
from hf_privacy.unlearning.fisher.config import FisherConfig
from hf_privacy.weights import fisher, perturb

_SMALLEST_FISHER = 1e-8


class FisherTrainer(UnlearningTrainer):
    """`UnlearningTrainer` that adds √(α·v)·N(0, 1) to each weight, v = 1/(F + 1e-8).

    F is the Fisher information on `retain`. v is cut to ``largest_inverse``, in the last layer to
    ``largest_inverse_head``; then each row of weights takes the mean over its inputs, and the last layer and weights
    of one dimension ten times that. The last layer is that of the head, by its name.

    Parameters
    ----------
    args : FisherConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Golatkar et al. (2020), "Eternal sunshine of the spotless net", CVPR, arXiv 1911.04933, and the authors' code for
    the size of the noise (the paper's equation 11 has F^(−1/4)), the cuts, the rows and the factor. Departs in that F
    is the empirical one unless ``exact`` is set, and that the last layer is found by name: theirs is what has one row
    for each class.
    """

    config_class: ClassVar[type[FisherConfig]] = FisherConfig
    unlearning_name: ClassVar[str] = "fisher"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
        "id": "arXiv:1911.04933",
        "citation": "Aditya Golatkar, Alessandro Achille and Stefano Soatto. Eternal Sunshine of the Spotless Net: "
        "Selective Forgetting in Deep Networks. CVPR 2020.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"alpha": [1e-9, 1e-8, 1e-7, 1e-6, 1e-5]}

    args: FisherConfig

    def prepare(self) -> None:
        """The noise's standard deviation for each trainable parameter."""
        model = self.accelerator.unwrap_model(self.model)
        batches = self.batches_of(self.retain_dataset)
        information = fisher(model, batches, parameters=self.trainable(), empirical=not self.args.exact)
        head = class_parameters(model)
        self.deviation: dict[str, torch.Tensor] = {}
        for name, value in information.items():
            largest = self.args.largest_inverse_head if name in head else self.args.largest_inverse
            inverse = (value + _SMALLEST_FISHER).reciprocal().clamp_max(largest)
            if self.args.average_rows and value.ndim > 1:
                inverse = inverse.mean(dim=1, keepdim=True).expand_as(value)
            if name in head or value.ndim == 1:
                inverse = inverse * self.args.boost
            self.deviation[name] = (self.args.alpha * inverse).sqrt()

    def edit(self) -> None:
        """Add the noise."""
        model = self.accelerator.unwrap_model(self.model)
        everything = {name: torch.ones_like(value, dtype=torch.bool) for name, value in self.deviation.items()}
        perturb(model, everything, sigma=self.deviation, generator=torch.Generator().manual_seed(self.args.seed))
