"""What each stage would take on one H100, by the steps that it counts and the step costs that were measured.

    python recipes/paper_scale/estimate.py

A step of ResNet-18 on 256 images in bfloat16 waits for launches, not for arithmetic, at 32 pixels and at 96: its cost
is that of the number of passes. Not counted: signals, attacks, curvature, robust evaluation and start-up, minutes in
all; nor the language stage, of which no step was measured on a GPU.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from plan import STAGES, Stage, stage_of

from hf_privacy.comparison.plan import Comparison
from hf_privacy.defenses import trainer_class
from hf_privacy.recipe import Recipe

# Measured on an H200: ResNet-18, 32 × 32, batch 256, bfloat16.
TRAINER_STEP, EAGER_STEP, GRAPH_STEP = 0.020, 0.010, 0.0021
# Of a stock step: per-sample gradients by vmap, resnet10t, measured on two cores; 1,024 rows are 4 batches.
DP_RATIO = 8.7 * 4
ROWS = 50_000  # of CIFAR-10's training split
HERE = Path(__file__).parent


def steps_of(recipe: Recipe) -> int:
    """Optimizer steps of one training, a second phase as long as the first included."""
    data = recipe.data
    pool = min(data.max_examples or ROWS, ROWS) * (1 - data.population_fraction)
    per_epoch = math.ceil(pool * data.member_fraction / recipe.training["per_device_train_batch_size"])
    phases = 1 if recipe.critical_weight_rewind is None else 2
    return phases * recipe.training["num_train_epochs"] * per_epoch


def passes_of(recipe: Recipe) -> float:
    """How many undefended steps one of its steps is worth, beyond the first."""
    if trainer_class(recipe.defense).is_private:
        return DP_RATIO - 1
    return recipe.training.get("n_steps", 10) if recipe.defense in ("adversarial", "demem") else 0


def trainings_of(stage: Stage) -> list[tuple[Recipe, int]]:
    """Recipes of a stage, and how many models it trains by each."""
    if stage.kind == "comparison":
        comparison = Comparison.from_dict({**stage.config, "output_dir": "runs/estimate"})
        cells = [comparison.cells(row)[0].recipe for row in stage.rows]
        return [(recipe, len(comparison.seeds) + recipe.audit.references) for recipe in cells]
    if stage.kind == "unlearning":
        recipe = Recipe.load(HERE / stage.config["recipe"])
        return [(recipe.override({**stage.config["overrides"], "training.bf16": False}), stage.trainings or 0)]
    return [(Recipe.from_dict({**stage.config, "output_dir": "runs/estimate"}), stage.trainings or 0)]


def line_of(name: str) -> str:
    """The stage's line of the table."""
    stage = stage_of(name, rehearse=False, data=None)
    if stage.kind == "commands" or name == "language":
        return f"| {name} | – | – | – | – |"
    counted: list[tuple[int, int, float]] = [
        (count, steps_of(recipe), passes_of(recipe)) for recipe, count in trainings_of(stage)
    ]

    def minutes(step: float, another: float) -> str:
        return f"{sum(count * steps * (step + more * another) for count, steps, more in counted) / 60:.0f} min"

    trainings = sum(count for count, _, _ in counted)
    steps = sum(count * steps for count, steps, _ in counted)
    figures: list[Any] = [trainings, f"{steps:,}", minutes(TRAINER_STEP, EAGER_STEP), minutes(GRAPH_STEP, GRAPH_STEP)]
    return f"| {name} | {' | '.join(map(str, figures))} |"


def main() -> None:
    """Print the table."""
    print("| Stage | Trainings | Steps | With the Trainer's step | With a captured graph |")
    print("|---|---|---|---|---|")
    for name in STAGES:
        print(line_of(name))


if __name__ == "__main__":
    main()
