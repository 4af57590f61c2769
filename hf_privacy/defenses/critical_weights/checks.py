"""What critical weight rewinding refuses when training begins: one sentence each, before a step is taken."""

from __future__ import annotations

from typing import Any

import torch
from transformers import TrainerState, TrainingArguments

from hf_privacy.data import TensorDataset
from hf_privacy.defenses.critical_weights.ranking import Ranking, ranking_of
from hf_privacy.defenses.critical_weights.settings import CriticalWeightSettings
from hf_privacy.errors import InputError


def check_run(
    settings: CriticalWeightSettings,
    args: TrainingArguments,
    model: torch.nn.Module,
    dataset: Any,
    reference_dataset: TensorDataset | None,
) -> Ranking:
    """What will be ranked; arguments, data and models that the rewind cannot be done with are refused.

    Raises
    ------
    InputError
    """
    for name in ("load_best_model_at_end", "auto_find_batch_size", "restore_callback_states_from_checkpoint"):
        if getattr(args, name):
            raise InputError(f"{name} is set: it would undo the rewind of the critical weights; leave it off")
    if args.fsdp or args.deepspeed:
        raise InputError("the weights are sharded (FSDP or DeepSpeed): rewind critical weights under DDP")
    if settings.needs_reference:
        _check_reference(dataset, reference_dataset)
    ranking = ranking_of(settings, model)
    groups = [sum(ranking.sizes)] if settings.scope == "global" else ranking.sizes
    if sum(round(settings.fraction * size) for size in groups) == 0:
        raise InputError(
            f"fraction is {settings.fraction} of {sum(groups):,} {ranking.unit}s, which is none: pass a larger one"
        )
    return ranking


def _check_reference(dataset: Any, reference_dataset: TensorDataset | None) -> None:
    if reference_dataset is None or len(reference_dataset) == 0:
        raise InputError(
            "reference_dataset is missing: the privacy-vulnerability score compares with data the model is not "
            "trained on; pass some (the population), or another score"
        )
    if reference_dataset is dataset:
        raise InputError("reference_dataset is the training set: pass data the model is not trained on")
    if isinstance(dataset, TensorDataset):
        given, wanted = set(reference_dataset.column_names), set(dataset.column_names)
        if given != wanted:
            raise InputError(
                f"reference_dataset has the columns {', '.join(sorted(given))} and the training set "
                f"{', '.join(sorted(wanted))}: encode both alike"
            )


def attributes_of_checkpoint(state: TrainerState, callback: str, own: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint's trainer state says of the rewind, if its run is the present one.

    Parameters
    ----------
    state : TrainerState
        As the checkpoint has it.
    callback : str
        Name of the callback's class.
    own : dict
        The present run's attributes: settings and lengths of both phases must be the same.

    Raises
    ------
    InputError
    """
    saved = state.stateful_callbacks.get(callback)
    at = f"the checkpoint at step {state.global_step}"
    if not isinstance(saved, dict) or saved["attributes"].get("initial_sha256") is None:
        raise InputError(
            f"{at} was saved without critical weight rewinding, and there is no initial state to rewind to: start anew"
        )
    before = saved["attributes"]
    if before["settings_sha256"] != own["settings_sha256"]:
        raise InputError(f"{at} was saved with other settings of critical weight rewinding: pass the same ones")
    lengths = ("first_steps", "second_steps")
    if any(before[name] != own[name] for name in lengths):
        raise InputError(
            f"{at} is of {before['first_steps']} steps of training and {before['second_steps']} of fine-tuning, and "
            f"the arguments ask for {own['first_steps']} and {own['second_steps']}: keep the run's lengths"
        )
    return before
