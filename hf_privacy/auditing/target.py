"""The target of a recipe, in its folder: trained, and found to be what was trained. Needs nothing of an audit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator

from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.checkpoints import last_whole_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.models import commit_of, load_saved_model
from hf_privacy.recipe import Experiment, ModelSection, Recipe, RunFolder
from hf_privacy.signals import compute_signals


def train_target(experiment: Experiment, trainer: PrivacyTrainer, folder: RunFolder) -> dict[str, Any]:
    """Train an experiment's target into its folder, from its last checkpoint if there is one, and record it.

    Under a distributed launch every process calls this; the main one writes.

    Parameters
    ----------
    experiment : Experiment
    trainer : PrivacyTrainer
        The experiment's, with the folder as its ``output_dir``.
    folder : RunFolder

    Returns
    -------
    dict
        The training record: ``training_seconds``, ``steps``, the task's utility on both sides (``member_accuracy``,
        ``nonmember_accuracy``; of a language model loss, perplexity and token accuracy) and the hashes of split and
        weights.
    """
    if trainer.is_world_process_zero():
        folder.start(experiment.recipe)
    trainer.accelerator.wait_for_everyone()
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder.path))
    record: dict[str, Any] = {
        "training_seconds": time.perf_counter() - started,
        "steps": trainer.state.global_step,
    }
    split = experiment.split
    if _is_sharded(trainer):
        # No process holds the model: the main one reads what all of them save.
        trainer.save_model(_internal_call=True)
        if trainer.is_world_process_zero():
            model = load_saved_model(folder.path).to(trainer.accelerator.device)
            record |= _worth(experiment, trainer, model, accelerator=None)
    else:
        model = trainer.accelerator.unwrap_model(trainer.model)
        record |= _worth(experiment, trainer, model, accelerator=trainer.accelerator)
        trainer.save_model(_internal_call=True)
    if trainer.is_world_process_zero():
        trainer.create_model_card()
        record |= {
            "split_hash": split.hash,
            "weights_sha256": weights_sha256(folder.path),
            "world_size": trainer.args.world_size,
            "base_revision": _base_revision(experiment.recipe.model),
        }
        folder.finish(split, record)
    return record


def _is_sharded(trainer: PrivacyTrainer) -> bool:
    return trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled


def _worth(
    experiment: Experiment, trainer: PrivacyTrainer, model: torch.nn.Module, *, accelerator: Accelerator | None
) -> dict[str, float]:
    """The task's utility on members and on non-members, by the names of a training record."""
    worth, split = {}, experiment.split
    for name, rows in (("member", split.members), ("nonmember", split.non_members)):
        signals = compute_signals(model, experiment.dataset.subset(rows), accelerator=accelerator)
        worth |= {f"{name}_{what}": value for what, value in trainer.task.utility(signals).items()}
    return worth


def worth_words(record: Mapping[str, Any]) -> str:
    """Say what a training record holds of a model's worth: accuracy, or perplexity.

    Examples
    --------
    >>> worth_words({"member_accuracy": 1.0, "nonmember_accuracy": 0.5})
    'accuracy 100.0% on members, 50.0% on non-members'
    >>> worth_words({"member_perplexity": 7.251, "nonmember_perplexity": 9.0})
    'perplexity 7.251 on members, 9 on non-members'
    """
    worth, form = ("perplexity", "{:.4g}") if "member_perplexity" in record else ("accuracy", "{:.1%}")
    member, other = (form.format(record[f"{side}_{worth}"]) for side in ("member", "nonmember"))
    return f"{worth} {member} on members, {other} on non-members"


def check_target(recipe: Recipe, folder: RunFolder) -> None:
    """Refuse a folder that does not hold this recipe's trained model; needs no data.

    Raises
    ------
    InputError
        No trained model, one of another recipe, or other weights than were trained there.
    """
    record = folder.record()
    folder.check(recipe)
    if weights_sha256(folder.path) != record["weights_sha256"]:
        raise InputError(f"the weights in {str(folder.path)!r} are not those that were trained there: train again")


def check_split(experiment: Experiment, folder: RunFolder) -> None:
    """Refuse data that are not those the folder's model was trained on."""
    if experiment.split.hash != folder.record()["split_hash"]:
        raise InputError(
            "the split is of another dataset: the data changed since the model was trained; restore it, or train "
            "again in another output_dir"
        )


def _base_revision(model: ModelSection) -> str | None:
    """The commit of the base that training starts from; None where the base is published under another name."""
    if model.from_scratch or model.base_model_id not in (None, model.name_or_path):
        return model.revision
    return commit_of(model.name_or_path, model.revision) or model.revision
