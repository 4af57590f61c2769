"""Fine-grained perturbation: noise on the few parameters that the forgotten examples depend on."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from peft import PeftModel

from hf_privacy.errors import InputError
from hf_privacy.models import bare_model, merged_adapter
from hf_privacy.tasks import CLASSIFICATION, LANGUAGE_MODELS
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.parameter_perturbation.config import ParameterPerturbationConfig
from hf_privacy.weights import likelihood_sensitivity, mas_sensitivity, perturb, reinitialise, rewind, select, zero
from hf_privacy.weights import random as random_scores


class ParameterPerturbationTrainer(UnlearningTrainer):
    """`UnlearningTrainer` that perturbs the top or random k parameters, then repairs on the retain set if asked.

    Top-K ranks by the sensitivity of the model function on the forget set, Random-k draws; both mark exactly k and
    leave every other parameter bit for bit as it was. All trainable parameters take part, biases included: of an
    adapter its own alone, unless ``weights`` is "merged". The model function of a language model is the log-likelihood
    of a row, summed over its scored tokens; read what was forgotten beside perplexity, since broken text forgets too.

    Parameters
    ----------
    args : ParameterPerturbationConfig
    **others
        As in `UnlearningTrainer`.

    Attributes
    ----------
    mask : dict of str to bool tensor
        After `unlearn`: the parameters that were perturbed.

    Raises
    ------
    InputError
        As `UnlearningTrainer`; with ``weights="merged"`` also for a model without an adapter, or one on a base in four
        bits.

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
    tasks: ClassVar[tuple[str, ...]] = (*CLASSIFICATION, *LANGUAGE_MODELS)
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

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        args: ParameterPerturbationConfig | None = None,
        *sets: Any,
        **kw: Any,
    ) -> None:
        self._base: dict[str, torch.Tensor] = {}
        if isinstance(args, ParameterPerturbationConfig) and args.weights == "merged":
            bare = None if model is None else bare_model(model)
            if not isinstance(bare, PeftModel):
                raise InputError(
                    f"weights is 'merged' and the {type(bare).__name__} has no adapter to add to its weights: leave "
                    "it out, which perturbs all that training moves"
                )
            model, self._base = merged_adapter(bare)
        super().__init__(model, args, *sets, **kw)

    def prepare(self) -> None:
        """Rank the parameters and mark those to perturb."""
        model = self.accelerator.unwrap_model(self.model)
        if self.args.selection == "top_k":
            sensitivity = mas_sensitivity if self.task.has_classes else likelihood_sensitivity
            scores = sensitivity(
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
        base = {name: weight for name, weight in self._base.items() if name in self.mask}
        if self.args.edit == "gaussian":
            perturb(model, self.mask, sigma=self._sigma(model, base), generator=self._generator(1))
            return
        if base:
            rewind(model, {name: self.mask[name] for name in base}, base)
        others = {name: marked for name, marked in self.mask.items() if name not in base}
        if others and self.args.edit == "reinitialise":
            reinitialise(model, others, generator=self._generator(1))
        elif others:
            zero(model, others)

    def _sigma(self, model: torch.nn.Module, base: dict[str, torch.Tensor]) -> float | dict[str, torch.Tensor]:
        """Of the noise: σ in units of each layer's spread, or for each weight in units of what the adapter added."""
        if not base:
            return self.args.sigma
        sigma = {}
        for name, marked in self.mask.items():
            weight = model.get_parameter(name).detach().float()
            sigma[name] = (self.args.sigma * (weight - base.get(name, 0.0)).std(correction=0)).expand(marked.shape)
        return sigma

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """Repair: cross-entropy on the retain batch."""
        return self.mean_loss(model, retain)

    def _generator(self, draw: int) -> torch.Generator:
        """On the CPU, so that every process and device draws the same."""
        return torch.Generator().manual_seed(self.args.seed * 1_000_003 + draw)
