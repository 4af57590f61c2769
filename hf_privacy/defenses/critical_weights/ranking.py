"""What critical weight rewinding ranks in a model: single weights, or the rank-1 components of its adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from hf_privacy.defenses.critical_weights.settings import CriticalWeightSettings
from hf_privacy.errors import InputError
from hf_privacy.tasks import task_of
from hf_privacy.weights import (
    component_mask,
    component_norms,
    lora_components,
    magnitude,
    random,
    which_weights,
)


@dataclass(frozen=True)
class Ranking:
    """The parameters that are ranked, and what of them is ranked as one.

    Attributes
    ----------
    names : list of str
        Of components, the matrices B.
    unit : str
        "weight" or "component".
    sizes : list of int
        How many of them each parameter has.
    """

    names: list[str]
    unit: str
    sizes: list[int]

    @property
    def by_component(self) -> bool:
        """Whether components are ranked."""
        return self.unit == "component"

    def random(self, model: torch.nn.Module, *, seed: int) -> dict[str, torch.Tensor]:
        """A uniform number each."""
        generator = torch.Generator().manual_seed(seed)
        if not self.by_component:
            return random(model, generator=generator, parameters=self.names)
        device = next(model.parameters()).device
        return {
            name: torch.rand(size, generator=generator, dtype=torch.float64, requires_grad=False).to(device)
            for name, size in zip(self.names, self.sizes, strict=True)
        }

    def magnitude(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """The size of each."""
        if not self.by_component:
            return magnitude(model, parameters=self.names)
        norms = component_norms(model)
        return {name: norms[name] for name in self.names}

    def mask(self, model: torch.nn.Module, selected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The weights that what is selected is made of."""
        return component_mask(model, selected) if self.by_component else dict(selected)


def ranking_of(settings: CriticalWeightSettings, model: torch.nn.Module) -> Ranking:
    """What these settings rank in this model.

    Raises
    ------
    InputError
        For components of a model that has none, or layers it does not have.

    Examples
    --------
    >>> ranking_of(CriticalWeightSettings(), torch.nn.Linear(2, 3)).sizes
    [6]
    """
    has_classes = task_of(model).has_classes
    pairs = lora_components(model)
    if settings.unit == "component" and not pairs:
        raise InputError(
            f"unit is 'component' and {type(model).__name__} has no LoRA adapter that is trained: pass 'weight'"
        )
    names = which_weights(
        model,
        kinds=settings.kinds,
        biases=settings.biases,
        head=has_classes if settings.head is None else settings.head,
    )
    unit = settings.unit or ("component" if pairs and not has_classes else "weight")
    if unit == "weight":
        return Ranking(names, unit, [model.get_parameter(name).numel() for name in names])
    names = [name for name in names if name in pairs]
    if not names:
        raise InputError(
            f"kinds is {list(settings.kinds)} and unit 'component': LoRA's matrices count as 'linear', name that too"
        )
    return Ranking(names, unit, [model.get_parameter(name).shape[1] for name in names])
