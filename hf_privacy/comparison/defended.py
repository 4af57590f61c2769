"""The adaptive audit of a defence of predictions: what the attacks find in the outputs that it gives out.

The plain weights are audited as those of any defence, since whoever downloads them has no prediction-time part. Here
the attacker sees defended outputs only, knows the defence, and passes the reference models through it too.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict

import torch

from hf_privacy.auditing import audit, provenance
from hf_privacy.comparison.check import defended_references_of, outputs_only, references_of
from hf_privacy.comparison.experiments import Experiments
from hf_privacy.comparison.plan import Cell, Comparison
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import load_saved_model
from hf_privacy.recipe import Experiment
from hf_privacy.signals import SignalStore, compute_signals
from hf_privacy.signals.store import METADATA_FILE

DEFENDED_OUTPUTS = "defended_outputs"
CAVEAT = (
    "These figures are of the outputs that the defence's prediction-time part gives out, for target and reference "
    "models alike. Whoever has the weights does without that part: see the report of the plain outputs."
)


def has_defended_signals(comparison: Comparison, name: str) -> bool:
    """Whether the defended signals of all references are there, and weights kept for them alone are gone."""
    folder, options = comparison.defended_references_dir(name), comparison.cells(name)[0].recipe.audit
    if not (folder / METADATA_FILE).is_file():
        return False
    complete = set(range(options.references)) <= set(SignalStore.open(folder).completed())
    return complete and (options.keep_weights or not (comparison.references_dir(name) / "models").exists())


def collect_defended_signals(comparison: Comparison, cell: Cell, experiments: Experiments) -> bool:
    """Pass each reference model, from its kept weights, through the prediction-time part; whether any was done here.

    Raises
    ------
    InputError
        If a reference's weights are gone and its defended signals are not there.
    """
    plain = references_of(cell, experiments, comparison.references_dir(cell.name))
    store = comparison.defended_references_dir(cell.name)
    run = defended_references_of(cell, experiments, store, trainer=plain.trainer)
    options, done = cell.recipe.audit, 0
    for number in range(run.plan.n_models):
        with run.store.claim(number) as mine:
            if not mine:
                continue
            model = plain.kept_model(number)
            if model is None:
                raise InputError(
                    f"the weights of reference {number} of {cell.name!r} are gone: delete "
                    f"{str(comparison.references_dir(cell.name))!r} to train its references again"
                )
            started = time.perf_counter()
            members = run.train_pool.subset(run.plan.training_indices(number))
            seed = run.plan.model_seed(number)
            view = _defended(run.trainer, model, members, seed=seed)
            signals = compute_signals(
                view, run.audit_dataset, batch_size=options.batch_size, queries=run.store.queries
            )
            (membership,) = plain.store.membership(models=[number])
            info = {"seed": seed, "training_seconds": 0.0, "signal_seconds": time.perf_counter() - started}
            run.store.write(number, signals, membership, info=info)
            done += 1
    if len(run.store.completed()) == run.plan.n_models and not options.keep_weights:
        shutil.rmtree(comparison.references_dir(cell.name) / "models", ignore_errors=True)
    return done > 0


def audit_defended_outputs(comparison: Comparison, cell: Cell, experiment: Experiment) -> None:
    """Audit the target through its prediction-time part, with references passed through theirs."""
    trainer = experiment.trainer(output_dir=cell.folder.private)
    members = experiment.dataset.subset(experiment.split.members)
    audit(
        _defended(trainer, load_saved_model(cell.folder.path), members, seed=trainer.args.seed),
        experiment.dataset,
        experiment.split,
        output_dir=cell.folder.path / DEFENDED_OUTPUTS,
        trainer=trainer,
        repeats=experiment.repeats,
        provenance=provenance(
            cell.recipe, training_seconds=cell.folder.record()["training_seconds"], caveats=(CAVEAT,)
        ),
        references_dir=comparison.defended_references_dir(cell.name),
        show_progress=False,
        **{**asdict(outputs_only(cell.recipe.audit)), "canaries": 0},
    )


def _defended(
    trainer: PrivacyTrainer, model: torch.nn.Module, members: TensorDataset, *, seed: int
) -> torch.nn.Module:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return trainer.defended_outputs(model.to(device).eval(), members, seed=seed)
