"""Under DP-SGD: what ε does to the curvature of the members, and to memorization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from models import trained, with_references
from plan import Plan

from hf_privacy.memorization import (
    agresti_caffo,
    dp_bound_violations,
    feldman_zhang,
    mean_memorization_of_pairs,
    saturating_fit,
)
from hf_privacy.memorization.dynamics import SMALLEST_CURVATURE
from hf_privacy.models import load_saved_model
from hf_privacy.recipe import Recipe, RunFolder
from hf_privacy.signals import Curvature, compute_curvature

# ε = ∞ twice: DP-SGD that clips and adds no noise, and the base recipe's own training.
CLIPPED, PLAIN = "clipping only", "no DP-SGD"
# By Hessian-vector products, and by the paper's finite differences, which see the kinks of a ReLU network.
METHODS = {"": "hvp", "_differences": "finite_difference"}


def measure_privacy(plan: Plan) -> dict[str, Any] | None:
    """All runs, level by level, and the curves through those of DP-SGD."""
    if not plan.privacy:
        return None
    levels = [_level(plan, name, epsilon) for name, epsilon in level_names(plan)]
    private = [level for level in levels if level["name"] != PLAIN]
    fits: dict[str, Any] = {}
    for quantity in [f"{kind}{ending}" for ending in METHODS for kind in ("curvature", "log_curvature")]:
        points = [(level["epsilon"], run[quantity]) for level in private for run in level["runs"]]
        fits[quantity] = saturating_fit(*_columns(points))
    for form in ("correct", "probability"):
        points = [
            (level["epsilon"], value)
            for level in private
            if level["memorization"]
            for value in level["memorization"][form]["pair_means"]
        ]
        if points:
            fits[f"memorization_{form}"] = saturating_fit(*_columns(points))
    for level in levels:  # JSON knows no infinity
        level["epsilon"] = None if np.isinf(level["epsilon"]) else level["epsilon"]
    return {"training": plan.privacy["training"], "levels": levels, "fits": fits}


def level_names(plan: Plan) -> list[tuple[str, float]]:
    """Name and ε of each level."""
    private = [(f"ε = {epsilon:g}", float(epsilon)) for epsilon in plan.privacy["epsilons"]]
    return [*private, (CLIPPED, float("inf")), (PLAIN, float("inf"))]


def private_recipe(plan: Plan, name: str, epsilon: float, seed: int) -> Recipe:
    """The base recipe at one level, under one seed of members and training, with the level's references."""
    folder = {CLIPPED: "clipped", PLAIN: "plain"}.get(name, f"epsilon_{epsilon:g}")
    changes: dict[str, Any] = {
        "name": f"{plan.name}, {name}",
        "output_dir": f"{plan.output_dir}/{folder}/seed_{seed}",
        "data.member_seed": seed,
        "training.seed": seed,
        "audit.references": plan.privacy["references"] or 2,
        "audit.curvature": plan.base.audit.curvature,
    }
    changes |= {f"model.{key}": value for key, value in plan.privacy.get("model", {}).items()}
    if name != PLAIN:
        budget = {"noise_multiplier": 0.0} if name == CLIPPED else {"target_epsilon": epsilon}
        settings = {**plan.privacy["training"], **budget}
        changes |= {"defense": "dp"} | {f"training.{key}": value for key, value in settings.items()}
    return plan.base.override(changes)


def _level(plan: Plan, name: str, epsilon: float) -> dict[str, Any]:
    recipes = [private_recipe(plan, name, epsilon, seed) for seed in plan.privacy["seeds"]]
    runs = [_run(plan, recipe) for recipe in recipes]
    memorization = _memorization(plan, recipes[0], epsilon) if plan.privacy["references"] else None
    return {"name": name, "epsilon": epsilon, "runs": runs, "memorization": memorization}


def _run(plan: Plan, recipe: Recipe) -> dict[str, float]:
    """One target: accuracies, the norm of its weights, and the curvature of its members."""
    experiment, folder = trained(recipe, plan.experiments)
    members, model = experiment.dataset.subset(experiment.split.members), load_saved_model(folder.path)
    record = folder.record()
    found = {name: record[name] for name in ("member_accuracy", "nonmember_accuracy", "training_seconds")}
    # DP-SGD's noise makes weights wander: with them grows the curvature, whatever was learnt.
    found["weight_norm"] = sum(float(weight.detach().square().sum()) for weight in model.parameters()) ** 0.5
    for ending, method in METHODS.items():
        curvature = Curvature(method=method, n_vectors=recipe.audit.curvature)
        values = compute_curvature(model, members, curvature=curvature, batch_size=recipe.audit.batch_size)
        squares = values["squared_norm"]
        found[f"curvature{ending}"] = float(squares.mean())
        found[f"log_curvature{ending}"] = float(np.log(np.maximum(squares, SMALLEST_CURVATURE)).mean())
    return found


def _memorization(plan: Plan, recipe: Recipe, epsilon: float) -> dict[str, Any]:
    """Memorization from the references of a level, and how many examples exceed the bound."""
    recipe = recipe.override({"audit.curvature": 0})
    experiment, folder = plan.experiments.of(recipe), RunFolder(Path(recipe.output_dir))
    run = with_references(experiment, folder)
    n = run.plan.n_examples
    membership = run.store.membership()[:, :n]
    found: dict[str, Any] = {"n_references": run.plan.n_models}
    for form in ("correct", "probability"):
        table = run.store.read(form, query="identity")[:, :n]
        scores = feldman_zhang(table, membership)
        found[form] = {"mean": float(scores.mean()), "largest": float(scores.max())}
        found[form]["pair_means"] = mean_memorization_of_pairs(table, membership).tolist()
        if np.isfinite(epsilon):
            centres, errors = agresti_caffo(table, membership)
            delta = experiment.trainer().target_delta
            found[form]["violations"] = {
                bound: dp_bound_violations(scores, errors, epsilon, delta, centres=centres, bound=bound)
                for bound in ("paper", "tight")
            }
    return found


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    epsilons, values = zip(*points, strict=True)
    return list(epsilons), list(values)
