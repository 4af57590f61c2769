"""Memorization, curvature and differential privacy, tied together: one command, one YAML.

    python recipes/memorization/links.py --config recipes/memorization/location30.yaml --data path/to/train.parquet

Two parts. With wrong labels planted at each share of ``label_noise``: reference models with their curvature, Feldman
and Zhang's memorization scores from them, one training run that is watched, and what its proxies know of the scores.
With DP-SGD at each ε of ``privacy``: the curvature of the members over the seeds, memorization from fewer references,
and the bound 1 − e^−ε.

Models and references are kept in ``output_dir``: run the command again after a kill, and it goes on where it was.
Into the folder of the config's name beside it go result.json, tables.md and the plots: aggregates only.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noise import measure_noise
from page import write_page
from privacy import measure_privacy

from hf_privacy.arguments import unknown_key
from hf_privacy.atomic_file import write_atomically
from hf_privacy.auditing import versions
from hf_privacy.comparison.experiments import Experiments
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, read_yaml
from hf_privacy.recipe.config import set_dotted
from hf_privacy.reports import refuse_leaks


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


def main() -> None:
    """Measure, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, type=Path, help="the YAML")
    parser.add_argument("--data", help="a local parquet file in place of the dataset")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="changes a value of the YAML")
    parser.add_argument("--output", type=Path, help="folder of the result, by default beside the config")
    parser.add_argument("--page-only", action="store_true", help="make tables and plots of the result that is there")
    arguments = parser.parse_args()
    output = arguments.output or arguments.config.with_suffix("")
    file = output / "result.json"
    if not arguments.page_only:
        plan = Plan.load(arguments.config, data=arguments.data, changes=arguments.set)
        output.mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        result: dict[str, Any] = {"name": plan.name, "label_noise": [measure_noise(plan, s) for s in plan.label_noise]}
        result |= {"privacy": measure_privacy(plan), "versions": versions(), "seconds": time.perf_counter() - started}
        refuse_leaks(result, name="result")
        write_atomically(file, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    print(write_page(json.loads(file.read_text(encoding="utf-8")), output))


if __name__ == "__main__":
    main()
