"""U-LiRA on every unlearner: python u_lira.py --config location30.yaml --result RESULT [--data FILE] [--models 16].

Reference models of the recipe are trained, half of them on each example; each then forgets what it was trained on of
one forget set, with the settings `table.py` chose. U-LiRA asks, example by example, whether a model that forgot it can
be told from one that never saw it; 0.5 is what the retrained model would have. A killed run goes on where it stopped.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from table import Study, chosen_settings, command_line_after_table

from hf_privacy.atomic_file import write_atomically
from hf_privacy.forgetting import u_lira
from hf_privacy.recipe import Recipe
from hf_privacy.recipe.unlearning import trainable_again, unlearning_arguments
from hf_privacy.references import reference_run
from hf_privacy.references.unlearned import unlearned_references
from hf_privacy.unlearning import unlearner_class


def unlearn_with(
    study: Study, method: dict[str, Any], settings: dict[str, Any], run: Any
) -> tuple[Any, dict[str, Any]]:
    """A function that makes the unlearner for one reference model, and what it does in plain values."""
    section = {"method": method["method"], "training": {**method.get("training", {}), **settings}}
    recipe = Recipe.from_dict({**asdict(study.recipe), "unlearning": section})
    trainer_class, split = unlearner_class(section["method"]), study.experiment.split
    labels = study.experiment.dataset.column("labels").numpy()[np.concatenate([split.pool, split.population])]
    heldout = study.experiment.dataset.subset(study.experiment.split.population)

    def make(model: Any, forget: Any, retain: Any, folder: Path) -> Any:
        args = unlearning_arguments(recipe, folder)
        args.check_evidence = False
        return trainer_class(
            trainable_again(study.experiment, model),
            args,
            forget,
            retain,
            heldout,
            processing_class=study.experiment.processor,
            **trainer_class.arguments_of_references(args, run.store, labels, n_classes=len(study.experiment.classes)),
        )

    return make, section


def main() -> None:
    """Train what is missing, let every model forget by every method, attack, print."""
    parser = command_line_after_table(__doc__)
    parser.add_argument("--models", type=int, default=16, help="reference models")
    arguments = parser.parse_args()
    study, chosen = Study.of(arguments), chosen_settings(arguments)
    config, folder = study.config, study.folder
    experiment, split = study.experiment, study.experiment.split
    run = reference_run(
        experiment.trainer(), experiment.dataset, split, folder / "u_lira" / "references", n_models=arguments.models
    )
    run.train(keep_weights=True)
    # One forget set for all models, of the pool: a model forgets those of it that it was trained on.
    share = config["requests"][arguments.request]["fraction"]
    pool = len(split.pool)
    forget = np.sort(np.random.default_rng(0).choice(pool, size=round(share * pool), replace=False))
    results: dict[str, Any] = {}
    for name in ["original", *config["methods"]]:
        if name == "original":
            membership, phi = run.store.membership()[:, forget], run.store.read("phi", query=0)[:, forget]
            (unlearned, never), seconds = _sides(phi, membership), 0.0
        else:
            make, section = unlearn_with(study, config["methods"][name], chosen[name]["settings"], run)
            done = unlearned_references(
                run, forget, folder / "u_lira" / name, make_unlearner=make, description=section
            )
            unlearned, never, seconds = done.unlearned, done.never, done.seconds
        found = u_lira(unlearned, never).summary
        rate = found["tpr_at_fpr"][0]
        results[name] = {"title": chosen[name].get("title", name), "seconds": seconds, "tpr": rate}
        results[name] |= {key: found[key] for key in ("auc", "auc_low", "auc_high", "n_pairs", "n_examples")}
        print(f"{name}: {found['auc']:.3f}", flush=True)
    write_atomically(folder / "u_lira.json", json.dumps(results, indent=1).encode())
    print(_markdown(results))


def _markdown(results: dict[str, Any]) -> str:
    lines = ["| Method | U-LiRA AUC | TPR at 1 % FPR |", "|---|---|---|"]
    for row in sorted(results.values(), key=lambda row: abs(row["auc"] - 0.5)):
        tpr = row["tpr"]
        cells = [row["title"], f"{row['auc']:.3f} [{row['auc_low']:.3f}, {row['auc_high']:.3f}]"]
        cells.append(f"{100 * tpr['tpr']:.1f} [{100 * tpr['low']:.1f}, {100 * tpr['high']:.1f}]")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _sides(phi: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sides = []
    for chosen in (inside, ~inside):
        order = np.argsort(~chosen, axis=0, kind="stable")[: int(chosen.sum(axis=0).min())]
        sides.append(np.take_along_axis(phi, order, axis=0))
    return sides[0], sides[1]


if __name__ == "__main__":
    main()
