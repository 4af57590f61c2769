"""What the YAML of the links says."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_privacy.arguments import unknown_key
from hf_privacy.comparison.experiments import Experiments
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, read_yaml
from hf_privacy.recipe.config import set_dotted


@dataclass
class Plan:
    """What the YAML says, with the base recipe made.

    Attributes
    ----------
    base : Recipe
        The recipe with the overrides.
    name, output_dir : str
    label_noise : list of float
        A target and its references for each.
    privacy : dict
        ``epsilons``, ``seeds``, ``references`` (0 for none) and the sections ``training`` and ``model`` of DP-SGD.
    experiments : Experiments
        Data that are loaded already.
    """

    base: Recipe
    name: str
    output_dir: str
    label_noise: list[float]
    privacy: dict[str, Any]
    experiments: Experiments = field(default_factory=lambda: Experiments(with_repeats=False))

    @classmethod
    def load(cls, path: Path, *, data: str | None, changes: list[str]) -> Plan:
        """Read the YAML; ``changes`` are KEY=VALUE with dotted keys of it."""
        values = read_yaml(path)
        for change in changes:
            set_dotted(values, *change.split("=", 1))
        if data:
            set_dotted(values, "overrides.data.name_or_path", data)
            set_dotted(values, "overrides.data.dataset_split", "null")
        known = ["recipe", "name", "output_dir", "overrides", "label_noise", "privacy"]
        for key in values:
            if key not in known:
                raise unknown_key(str(key), known, "the config")
        quiet = {"training.disable_tqdm": True, "training.logging_strategy": "'no'"}
        base = Recipe.load(path.parent / values["recipe"]).override({**flattened(values["overrides"]), **quiet})
        if base.audit.references < 4 or base.audit.references % 2 or not base.audit.curvature:
            raise InputError(
                "overrides.audit must hold an even number of references, 4 or more, and curvature above 0"
            )
        return cls(base, values["name"], values["output_dir"], values["label_noise"], values["privacy"])


def flattened(values: dict, prefix: str = "") -> dict:
    """Nested sections as dotted keys."""
    flat = {}
    for key, value in values.items():
        flat.update(flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat
