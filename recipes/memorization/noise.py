"""With wrong labels planted: memorization from the references, and what one training run knows of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from models import be_quiet, trained, with_references
from plan import Plan

from hf_privacy import attacks
from hf_privacy.defenses import CurvatureCallback, read_training_dynamics
from hf_privacy.defenses.observers.dynamics_store import DynamicsStore
from hf_privacy.memorization import (
    binned_means,
    correlation_table,
    dynamics_proxies,
    feldman_zhang,
    leakage_share,
    linear_fit,
    memorization_standard_error,
    mislabel_auroc,
    reliability,
    subpopulation_fits,
    summarize_memorization,
)
from hf_privacy.models import load_saved_model
from hf_privacy.recipe import Experiment, Recipe, RunFolder, curvature_settings
from hf_privacy.references import ReferenceRun
from hf_privacy.signals import Curvature, compute_signals
from hf_privacy.statistics import summarize

# How the truth is read off a reference model: Feldman and Zhang's own, and the same with less noise.
FORMS = ("correct", "probability")


def measure_noise(plan: Plan, share: float) -> dict[str, Any]:
    """All figures at one share of wrong labels."""
    experiment, folder = trained(noise_recipe(plan, share), plan.experiments)
    run = with_references(experiment, folder)
    n, inside = run.plan.n_examples, experiment.split.membership
    membership = run.store.membership()[:, :n]
    tables = {form: run.store.read(form, query="identity")[:, :n] for form in FORMS}
    scores = {form: feldman_zhang(table, membership) for form, table in tables.items()}
    log_curvature = run.store.read("curvature")[:, :n]

    proxies = dynamics_proxies(read_training_dynamics(folder.path))
    differences = dynamics_proxies(read_training_dynamics(watched_by_differences(experiment, folder)))
    proxies |= {f"{name}_differences": values for name, values in differences.items()}
    proxies["log_curvature_of_references"] = _mean_inside(log_curvature, membership)[inside]
    wrong = experiment.mislabelled[experiment.split.pool]
    signals, plain_seconds = _target_signals(experiment, folder)
    attacked = _attacks(signals, run, membership, log_curvature)
    record = folder.record()
    return {
        "share": share,
        "n_examples": n,
        "n_members": int(inside.sum()),
        "n_mislabelled": int(wrong.sum()),
        "n_mislabelled_members": int(wrong[inside].sum()),
        "member_accuracy": record["member_accuracy"],
        "nonmember_accuracy": record["nonmember_accuracy"],
        "memorization": {form: _memorization(tables[form], membership, wrong) for form in FORMS},
        "correlations": {form: correlation_table(scores[form][inside], proxies) for form in FORMS},
        "mislabel_auroc": _mislabel_auroc({**{f: scores[f][inside] for f in FORMS}, **proxies}, wrong[inside]),
        "attacks": {name: summarize(values, inside, fprs=(0.01,)) for name, values in attacked.items()},
        "leakage_share": leakage_share(attacked["lira"], inside, scores["correct"]),
        "link": _link(proxies["mean_log_curvature"], scores["correct"][inside], wrong[inside], experiment),
        "cost": _cost(run, folder, plain_seconds, n_members=int(inside.sum())),
    }


def noise_recipe(plan: Plan, share: float) -> Recipe:
    """The base recipe with that share of wrong labels, its training watched in every epoch."""
    changes = {
        "name": f"{plan.name}, {100 * share:g} % wrong labels",
        "output_dir": f"{plan.output_dir}/noise_{100 * share:g}",
        "data.label_noise": share,
        "training_dynamics": {"every_n_epochs": 1, "curvature": plan.base.audit.curvature},
    }
    return plan.base.override(changes)


def watched_by_differences(experiment: Experiment, folder: RunFolder) -> Path:
    """Folder of the same training, watched by the paper's finite differences: they see the kinks of a ReLU network."""
    path = folder.private / "finite_differences"
    finished = path / "finished"
    if not finished.is_file():
        recipe = experiment.recipe.override({"training_dynamics": None})
        trainer = replace(experiment, recipe=recipe).trainer(output_dir=path)
        curvature = Curvature(method="finite_difference", n_vectors=experiment.recipe.audit.curvature)
        trainer.add_callback(CurvatureCallback(curvature=curvature))
        be_quiet(trainer)
        trainer.train()
        finished.touch()
    return path


def _memorization(table: np.ndarray, membership: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """The summary, what fewer references would give, and the means of wrong and of given labels."""
    scores, errors = feldman_zhang(table, membership), memorization_standard_error(table, membership)
    counts = [count for count in (8, 16, 32, 64, 128) if count <= len(table)]
    found = {
        **summarize_memorization(table, membership),
        "median_standard_error": float(np.median(errors)),
        "mean_given": float(scores[~wrong].mean()),
        "reliability_by_references": [reliability(table[:count], membership[:count]) for count in counts],
    }
    return found | ({"mean_mislabelled": float(scores[wrong].mean())} if wrong.any() else {})


def _mean_inside(values: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """Mean over the references that were trained on an example."""
    return (values * membership).sum(axis=0) / membership.sum(axis=0)


def _mislabel_auroc(scores: dict[str, np.ndarray], wrong: np.ndarray) -> dict[str, Any] | None:
    return {name: mislabel_auroc(values, wrong) for name, values in scores.items()} if wrong.any() else None


def _target_signals(experiment: Experiment, folder: RunFolder) -> tuple[dict[str, np.ndarray], float]:
    """The target's signals on the pool, and what they take without curvature."""
    options, model = experiment.recipe.audit, load_saved_model(folder.path)
    pool = experiment.dataset.subset(experiment.split.pool)
    signals = compute_signals(
        model, pool, batch_size=options.batch_size, queries=["identity"], curvature=curvature_settings(options)
    )
    started = time.perf_counter()
    compute_signals(model, pool, batch_size=options.batch_size, queries=["identity"])
    return {name: values[0] for name, values in signals.items()}, time.perf_counter() - started


def _attacks(
    signals: dict[str, np.ndarray], run: ReferenceRun, membership: np.ndarray, log_curvature: np.ndarray
) -> dict[str, np.ndarray]:
    phi = run.store.read("phi", query="identity")[:, : run.plan.n_examples]
    found = {
        "loss": attacks.loss(signals["loss"]),
        "lira": attacks.lira(signals["phi"], phi, membership, variance="shrunk"),
    }
    for form in ("likelihood_ratio", "nll"):
        found[f"curvature_{form}"] = attacks.curvature(signals["curvature"], log_curvature, membership, form=form)
    return found


def _link(log_curvature: np.ndarray, scores: np.ndarray, wrong: np.ndarray, experiment: Experiment) -> dict[str, Any]:
    """Memorization over curvature: means of 50 bins, a line through all members, and through parts of them."""
    means = binned_means(log_curvature, scores, n_bins=50)
    labels = experiment.dataset.column("labels").numpy()[experiment.split.members]
    classes = np.array(experiment.classes)[labels]
    fits = {"fit": linear_fit(log_curvature, scores), "by_class": subpopulation_fits(log_curvature, scores, classes)}
    if wrong.any():
        kind = np.where(wrong, "wrong label", "given label")
        fits["by_label"] = subpopulation_fits(log_curvature, scores, kind)
    return {"bins": {name: np.asarray(values).tolist() for name, values in means._asdict().items()}, **fits}


def _cost(run: ReferenceRun, folder: RunFolder, plain_seconds: float, *, n_members: int) -> dict[str, Any]:
    """Seconds, measured side by side in this run: of the scores from references, and of one model's curvature."""
    infos = [run.store.info(number) for number in range(run.plan.n_models)]
    training = sum(info["training_seconds"] for info in infos)
    curvature = float(np.mean([info["signal_seconds"] for info in infos]))  # with the pass that signals need anyway
    epochs, differences = (
        DynamicsStore(path).metadata()["streams"]["curvature"]["seconds"]
        for path in (folder.path, folder.private / "finite_differences")
    )
    n_pool, n_rows = run.plan.n_examples, run.store.n_examples
    per_example = (training + len(infos) * plain_seconds) / n_pool
    return {
        "references_seconds": training + len(infos) * plain_seconds,
        "one_training_seconds": training / len(infos),
        "final_curvature_seconds": curvature * n_members / n_rows,
        "epochs_curvature_seconds": epochs,
        "epochs_differences_seconds": differences,
        "final_curvature_is_cheaper_by": per_example / (curvature / n_rows),
        "epochs_curvature_is_cheaper_by": per_example / (epochs / n_members),
        "epochs_differences_is_cheaper_by": per_example / (differences / n_members),
    }
