"""Fine-grained perturbation: noise on the few parameters that the forgotten examples depend on."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.parameter_perturbation.config import ParameterPerturbationConfig
from hf_privacy.weights import mas_sensitivity, perturb, reinitialise, select, zero
from hf_privacy.weights import random as random_scores


class ParameterPerturbationTrainer(UnlearningTrainer):
    """`UnlearningTrainer` that perturbs the top or random k parameters, then repairs on the retain set if asked.

    Top-K ranks by the sensitivity of the model function on the forget set, Random-k draws; both mark exactly k and
    leave every other parameter bit for bit as it was. All trainable parameters take part, biases included.

    Parameters
    ----------
    args : ParameterPerturbationConfig
    **others
        As in `UnlearningTrainer`.

    Attributes
    ----------
    mask : dict of str to bool tensor
        After `unlearn`: the parameters that were perturbed.

    References
    ----------
    Zuo et al. (2025), "Machine unlearning through fine-grained model parameters perturbation", TKDE, arXiv 2401.04385,
    Top-K and Random-k. The sensitivity is that of memory-aware synapses (arXiv 1711.09601); the scale of the noise is
    our default.

    Examples
    --------
    >>> from hf_privacy.unlearning import ParameterPerturbationConfig
    >>> ParameterPerturbationConfig("runs/doc", selection="random_k").fraction
    0.01
    """

    config_class: ClassVar[type[ParameterPerturbationConfig]] = ParameterPerturbationConfig
    unlearning_name: ClassVar[str] = "parameter_perturbation"
    uses: ClassVar[tuple[str, ...]] = ("retain",)
    anchor: ClassVar[str] = "retain"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Machine Unlearning Through Fine-Grained Model Parameters Perturbation",
        "id": "arXiv:2401.04385",
        "citation": "Zhiwei Zuo, Zhuo Tang, Kenli Li and Anwitaman Datta. Machine Unlearning Through Fine-Grained "
        "Model Parameters Perturbation. IEEE TKDE 2025.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {
        "fraction": [0.001, 0.01, 0.05, 0.1],
        "sigma": [0.1, 0.5, 1.0],
        "scope": ["global", "layer"],
    }

    args: ParameterPerturbationConfig

    def prepare(self) -> None:
        """Rank the parameters and mark those to perturb."""
        model = self.accelerator.unwrap_model(self.model)
        if self.args.selection == "top_k":
            scores = mas_sensitivity(
                model,
                self.batches_of(self.forget_dataset),
                parameters=self.trainable(),
                per_example=self.args.per_example_sensitivity,
            )
        else:
            scores = random_scores(model, generator=self._generator(0), parameters=self.trainable())
        self.mask = select(scores, fraction=self.args.fraction, count=self.args.count, scope=self.args.scope)

    def edit(self) -> None:
        """Perturb the marked parameters."""
        model = self.accelerator.unwrap_model(self.model)
        if self.args.edit == "gaussian":
            perturb(model, self.mask, sigma=self.args.sigma, generator=self._generator(1))
        elif self.args.edit == "reinitialise":
            reinitialise(model, self.mask, generator=self._generator(1))
        else:
            zero(model, self.mask)

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """Repair: cross-entropy on the retain batch."""
        return self.mean_loss(model, retain)

    def _generator(self, draw: int) -> torch.Generator:
        """On the CPU, so that every process and device draws the same."""
        return torch.Generator().manual_seed(self.args.seed * 1_000_003 + draw)
