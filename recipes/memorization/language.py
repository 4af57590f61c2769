"""What a language model memorizes of rows and of their authors, and what curvature knows of it: one command, one YAML.

    python recipes/causal_lm/authors.py --data path/to/full.parquet
    python recipes/memorization/language.py --config recipes/memorization/tofu.yaml --model path/to/stories260K

Each seed has other authors, another split, another target and other references. Memorization is Feldman and Zhang's,
by the geometric mean of the probabilities of a row's tokens. Models and references are kept in ``output_dir``: run the
command again after a kill, and it goes on where it was. Into the folder of the config's name beside it go result.json,
tables.md and a plot: aggregates only.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from language_page import write_language_page
from models import trained
from plan import flattened

from hf_privacy.atomic_file import write_atomically
from hf_privacy.auditing import versions
from hf_privacy.auditing.case import AuditCase
from hf_privacy.auditing.groups import over_groups
from hf_privacy.auditing.memorized import log_likelihoods
from hf_privacy.auditing.recipe_run import started_from
from hf_privacy.auditing.table import SignalTable
from hf_privacy.comparison.experiments import Experiments
from hf_privacy.defenses import read_training_dynamics
from hf_privacy.memorization import (
    binned_means,
    correlation_table,
    dynamics_proxies,
    group_memorization,
    likelihood_memorization,
    reliability,
)
from hf_privacy.recipe import Recipe, RunFolder, read_yaml
from hf_privacy.reports import refuse_leaks
from hf_privacy.signals import Curvature, compute_curvature

QUARTERS = 4
SHOWN = ("loss", "reference_difference", "token_lira")


def main() -> None:
    """Measure, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, type=Path, help="the YAML")
    parser.add_argument("--model", help="a local folder in place of the model")
    parser.add_argument("--data", help="a local parquet file in place of the dataset")
    parser.add_argument("--output", type=Path, help="folder of the result, by default beside the config")
    parser.add_argument("--page-only", action="store_true", help="make tables and plot of the result that is there")
    arguments = parser.parse_args()
    output = arguments.output or arguments.config.with_suffix("")
    file = output / "result.json"
    if not arguments.page_only:
        output.mkdir(parents=True, exist_ok=True)
        plan, started = read_yaml(arguments.config), time.perf_counter()
        places = {"model.name_or_path": arguments.model, "data.name_or_path": arguments.data}
        quiet = {"training.disable_tqdm": True, "training.logging_strategy": "'no'"}
        overrides = {**flattened(plan["overrides"]), **quiet, **{key: place for key, place in places.items() if place}}
        base = Recipe.load(arguments.config.parent / plan["recipe"]).override(overrides)
        runs = [measured(seeded(base, plan, seed), n_vectors=plan["curvature"]) for seed in plan["seeds"]]
        result = {"name": plan["name"], "runs": runs, "versions": versions(), "seconds": time.perf_counter() - started}
        refuse_leaks(result, name="result")
        write_atomically(file, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    print(write_language_page(json.loads(file.read_text(encoding="utf-8")), output))


def seeded(base: Recipe, plan: dict[str, Any], seed: int) -> Recipe:
    """The recipe with that seed for everything that is drawn."""
    seeds = {"data.split_seed": seed, "training.seed": seed, "audit.reference_seed": seed}
    named = {"output_dir": f"{plan['output_dir']}/seed_{seed}", "name": f"{plan['name']}, seed {seed}"}
    return base.override({**seeds, **named, "training_dynamics": {"every_n_epochs": 1}})


def measured(recipe: Recipe, *, n_vectors: int) -> dict[str, Any]:
    """All figures of one seed."""
    experiment, folder = trained(recipe, Experiments(with_repeats=False))
    case = AuditCase(
        target=folder.path,
        dataset=experiment.dataset,
        split=experiment.split,
        settings=recipe.audit,
        output_dir=folder.path,
        references_dir=folder.private / "references",
        recipe_trainer=experiment.trainer(output_dir=folder.private),
        base_model=started_from(experiment),
        show_progress=False,
    )
    case.check()
    table = case.table
    print(f"{folder.path}: {table.n_references} references", flush=True)
    log_likelihood, membership = log_likelihoods(table), table.reference_pool_membership
    rows = likelihood_memorization(log_likelihood, membership)
    whole = group_memorization(log_likelihood, membership, table.groups)
    record = folder.record()
    return {
        "seed": recipe.training["seed"],
        "n_examples": table.n_pool,
        "n_members": int(table.membership.sum()),
        "n_groups": len(whole.scores),
        "n_references": table.n_references,
        "perplexity": [record["member_perplexity"], record["nonmember_perplexity"]],
        "memorization": {
            "mean": float(rows.scores.mean()),
            "mean_standard_error": float(rows.standard_error.mean()),
            "reliability": reliability(np.exp(log_likelihood), membership)["reliability"],
            "quantiles": np.quantile(rows.scores, [0.05, 0.5, 0.95]).tolist(),
            "groups_above": int((whole.low > 0).sum()),
            "group_range": [float(whole.scores.min()), float(whole.scores.max())],
        },
        **correlations(table, rows.scores, curvatures(case, n_vectors), folder),
        "quarters": quarters(table, rows.scores, case),
    }


def curvatures(case: AuditCase, n_vectors: int) -> dict[str, np.ndarray]:
    """Of the members, under the model and under the checkpoint it started from."""
    members = case.data.subset(case.split.pool[case.split.membership])
    settings = {"curvature": Curvature(n_vectors=n_vectors), "batch_size": 8}
    found = compute_curvature(case.model, members, **settings)
    with case.base() as base:
        control = compute_curvature(base, members, **settings)
    return {
        "log curvature of the model": np.log(found["squared_norm"]),
        "trace of the model": found["trace"],
        "control: log curvature of the base": np.log(control["squared_norm"]),
    }


def correlations(
    table: SignalTable, scores: np.ndarray, curvature: dict[str, np.ndarray], folder: RunFolder
) -> dict[str, Any]:
    """What knows the memorization of members, and of members whose scores were shuffled."""
    inside, groups = table.membership, table.groups[table.membership]
    base = {name: values.mean(axis=0)[: table.n_pool] for name, values in table.base.items()}
    watched = dynamics_proxies(read_training_dynamics(folder.path))
    proxies = {
        **curvature,
        "loss of the model": table.pool("loss")[inside],
        "loss, mean over epochs": watched["mean_loss"],
        "control: loss of the base": base["loss"][inside],
        "control: length": table.pool("n_tokens")[inside],
    }
    shuffled = np.random.default_rng(0).permutation(scores[inside])
    known = {"log curvature of the model": curvature["log curvature of the model"]}
    means = binned_means(known["log curvature of the model"], scores[inside], n_bins=16)
    return {
        "rows": correlation_table(scores[inside], proxies, groups=groups),
        "shuffled": correlation_table(shuffled, known, groups=groups),
        "bins": {name: np.asarray(values).tolist() for name, values in means._asdict().items()},
    }


def quarters(table: SignalTable, scores: np.ndarray, case: AuditCase) -> list[dict[str, Any]]:
    """How well attacks tell the members of each quarter of the pool by memorization, the least memorized first."""
    place = np.searchsorted(np.quantile(scores, np.arange(1, QUARTERS) / QUARTERS), scores, side="right")
    found = []
    for attack in case.findings.scores:
        if attack.name in SHOWN:
            for number, figures in over_groups(table, attack, place, confidence=0.95).items():
                reach = [float(scores[place == number].min()), float(scores[place == number].max())]
                found.append({"quarter": number, "memorization": reach, "attack": attack.name, **figures})
    return found


if __name__ == "__main__":
    main()
