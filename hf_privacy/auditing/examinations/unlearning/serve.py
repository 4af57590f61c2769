"""Serve a request to forget into a folder of its own beside the trained model."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hf_privacy.auditing.examinations.unlearning.folder import UnlearnedFolder
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.checkpoints import last_whole_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.outside import own_sources
from hf_privacy.recipe import (
    RETRAIN,
    Experiment,
    RunFolder,
    UnlearningRows,
    check_unlearning,
    request_of,
    requested_rows,
    start_model,
    unlearner,
    unlearning_rows,
)
from hf_privacy.recipe.shaping import shaping_arguments
from hf_privacy.references import reference_trainer
from hf_privacy.signals import compute_signals
from hf_privacy.unlearning import UnlearningTrainer, unlearner_class, utc_now

_LOOKED_AT = 64  # rows of either set that a model is asked about: one that diverged has no answer to any
Say = Callable[[str], None]
Watch = Callable[[PrivacyTrainer], None]


def unlearn_request(
    experiment: Experiment, run: RunFolder, *, say: Say = print, watch: Watch | None = None
) -> UnlearnedFolder:
    """Serve the request of the recipe's unlearning section from the run's trained model.

    Parameters
    ----------
    experiment : Experiment
    run : RunFolder
        With the trained model of the recipe (see `hf_privacy.auditing.check_target`); it stays as it is.
    say : callable
        Gets lines for the user.
    watch : callable, optional
        Gets the trainer before it starts, to show its progress.

    Returns
    -------
    UnlearnedFolder
        ``<run>/unlearned/<method>``. Served already, it is found and not served again.

    Raises
    ------
    InputError
        For a request that cannot be served, or a folder that holds the result of another; before anything is changed.
    """
    service = Service(experiment, run, say, watch)
    request = request_of(experiment.recipe.unlearning.request)
    rows = unlearning_rows(experiment, requested_rows(experiment, request), kind=request.kind)
    destination = UnlearnedFolder.of(run, service.method)
    with destination.alone():
        if destination.exists:
            if destination.record()["plan"] != service.plan(rows, run.path):
                raise InputError(
                    f"{str(destination.path)!r} holds the result of another request or other arguments: delete it, or "
                    "use another method"
                )
            say(f"{destination.path} holds the result of this request already")
            return destination
        if destination.path.exists():
            raise InputError(f"{str(destination.path)!r} exists and holds no unlearned model: delete or rename it")
        service.serve(rows, run.path, destination)
    return destination


@dataclass(frozen=True)
class Service:
    """What requests are served with: experiment, run, and where the user is told; see `unlearn_request`."""

    experiment: Experiment
    run: RunFolder
    say: Say
    watch: Watch | None

    def __post_init__(self) -> None:
        """Refuse a section that cannot be served, and U-LiRA without the audit's references, which it rests on."""
        check_unlearning(self.experiment.recipe)
        if self.experiment.recipe.unlearning.u_lira and not (self._references / "metadata.json").is_file():
            raise InputError(
                "unlearning.u_lira is set and there are no reference models: run `hf-privacy audit` with "
                "audit.keep_weights first"
            )

    @property
    def method(self) -> str:
        """As the recipe names it."""
        return str(self.experiment.recipe.unlearning.method)

    @property
    def _references(self) -> Path:
        return self.run.private / "references"

    def plan(self, rows: UnlearningRows, start: Path) -> str:
        """What must be equal for a result to be that of a request: method, arguments, rows, weights to start from.

        Of a method that a user has written, the source file too.
        """
        recipe = self.experiment.recipe
        arguments = [shaping_arguments(training) for training in (recipe.unlearning.training, recipe.training)]
        own = [] if self.method == RETRAIN else own_sources(unlearner_class(self.method))
        digest = hashlib.sha256(json.dumps([self.method, *arguments, *own], sort_keys=True).encode())
        digest.update(rows.digest().encode() + weights_sha256(start).encode())
        return digest.hexdigest()

    def serve(
        self,
        rows: UnlearningRows,
        start: Path,
        destination: UnlearnedFolder,
        *,
        facts: dict[str, Any] | None = None,
        earlier: dict[str, float] | None = None,
    ) -> None:
        """Unlearn from the model in ``start`` into ``destination``; a killed run goes on from its last checkpoint.

        The record holds ``facts`` too; its seconds are those of this request and of the ``earlier`` ones that led to
        ``start``.
        """
        if destination.path.resolve() == start.resolve():
            raise InputError("the destination is the folder of the model it starts from: the original stays as it is")
        again = _kept_elsewhere(self.experiment, rows)
        if again:
            self.say(
                f"{again:,} of the {len(rows.split.forget):,} rows stand word for word among those that are retained: "
                "what they say is not forgotten while these are kept; ask for them too"
            )
        before, plan, folder = weights_sha256(start), self.plan(rows, start), destination.partial
        destination.start(plan)
        trainer = _trainer(self.experiment, rows, start, folder, references=self._references)
        if self.watch is not None:
            self.watch(trainer)
        timing = _trained(trainer, last_whole_checkpoint(folder))
        _check_finite(trainer, self.experiment, rows)
        trainer.save_model(str(folder), _internal_call=True)
        if weights_sha256(start) != before:
            raise InputError(f"the weights in {str(start)!r} changed while they were unlearned from: restore them")
        # A retrained model is trained by no unlearner.
        described = {"method": {"name": RETRAIN, "parameters": {}, "paper": None}, "after_edit": None}
        if isinstance(trainer, UnlearningTrainer):
            described = {"method": trainer.describe_unlearning(), "after_edit": trainer.after_edit}
        record = {
            **described,
            "plan": plan,
            "kind": rows.kind,
            "n_requests": rows.n_requests,
            "unit": rows.unit,
            "timing": _with_earlier(timing, earlier or {}),
            "time": utc_now(),
            "weights_before": before,
            "weights_after": weights_sha256(folder),
            "n_forget": len(rows.split.forget),
            "n_retain": len(rows.split.retain),
            **(facts or {}),
        }
        destination.finish(record, rows)
        self.say(f"forgot {len(rows.split.forget):,} examples in {timing['total']:.1f} s; saved to {destination.path}")


def _trainer(
    experiment: Experiment, rows: UnlearningRows, start: Path, folder: Path, *, references: Path
) -> PrivacyTrainer:
    """The unlearner; for "retrain" the recipe's own trainer, on what is retained."""
    if experiment.recipe.unlearning.method == RETRAIN:
        original = experiment.trainer(output_dir=folder)
        retain = experiment.training_view(rows.split.retain)
        return reference_trainer(original, retain, seed=original.args.seed, output_dir=folder)
    trainer = unlearner(experiment, rows, start_model(experiment, start), output_dir=folder, references=references)
    if rows.n_requests > 1:
        trainer.args.check_evidence = False  # a part of what is to be forgotten is forgotten already
    return trainer


def _trained(trainer: PrivacyTrainer, checkpoint: str | None) -> dict[str, float]:
    """Seconds, by part."""
    if isinstance(trainer, UnlearningTrainer):
        return trainer.unlearn(resume_from_checkpoint=checkpoint)
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=checkpoint)
    seconds = time.perf_counter() - started
    return {"scoring": 0.0, "shadows": 0.0, "training": seconds, "total": seconds}


def _kept_elsewhere(experiment: Experiment, rows: UnlearningRows) -> int:
    """How many of the rows to be forgotten have an exact repeat among the retained ones."""
    if experiment.repeats is None:
        return 0
    group = experiment.repeats.exact_group
    forget, retain = (part[part < len(group)] for part in (rows.split.forget, rows.split.retain))
    return int(np.isin(group[forget], group[retain]).sum())


def _check_finite(trainer: PrivacyTrainer, experiment: Experiment, rows: UnlearningRows) -> None:
    """Refuse a model that says nothing any more, before it takes the place of an answer to the request."""
    some = np.concatenate([rows.split.forget[:_LOOKED_AT], rows.split.retain[:_LOOKED_AT]])
    try:
        compute_signals(trainer.model, experiment.dataset.subset(some), batch_size=experiment.recipe.audit.batch_size)
    except InputError as error:
        raise InputError(
            "the model has diverged: what it says of its rows is not finite any more; lower the learning rate, or "
            "take fewer epochs; nothing was kept, and the request is not served"
        ) from error


def _with_earlier(timing: dict[str, float], earlier: dict[str, float]) -> dict[str, float]:
    """Sums; but all requests share the shadow models."""
    merged = {name: seconds + earlier.get(name, 0.0) for name, seconds in timing.items()}
    return {**merged, "shadows": max(timing["shadows"], earlier.get("shadows", 0.0))}
