"""From a recipe's unlearning section to what runs: the method, the model to start from, the unlearner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel

from hf_privacy.arguments import unknown_key
from hf_privacy.defenses import PrivacyConfig
from hf_privacy.defenses.base.config import own_arguments
from hf_privacy.errors import InputError
from hf_privacy.models import adapted_weights, bare_model, load_saved_model
from hf_privacy.outside import is_outside
from hf_privacy.recipe.config import Recipe
from hf_privacy.recipe.config_arguments import config_from
from hf_privacy.recipe.experiment import Experiment, run_name, training_arguments
from hf_privacy.recipe.forget_rows import UnlearningRows
from hf_privacy.recipe.unlearning_section import RETRAIN
from hf_privacy.reports import refuse_leaks
from hf_privacy.signals import SignalStore
from hf_privacy.tasks import task_named
from hf_privacy.unlearning import UNLEARNERS, UnlearningConfig, UnlearningTrainer, unlearner_class

# How a model is trained that does not depend on the recipe's schedule: an unlearner goes on with it.
SHARED_ARGUMENTS = frozenset(
    """
    seed data_seed per_device_train_batch_size gradient_accumulation_steps optim momentum weight_decay adam_beta1
    adam_beta2 adam_epsilon max_grad_norm bf16 fp16 tf32 use_cpu disable_tqdm report_to logging_strategy ddp_backend
    gradient_checkpointing dataloader_num_workers dataloader_pin_memory dataloader_persistent_workers
    """.split()  # noqa: SIM905 - a list of quoted words hides them
)


def check_unlearning(recipe: Recipe) -> None:
    """Refuse an unlearning section that no data are needed to refuse: method, arguments, form of the request.

    Raises
    ------
    InputError
        For no method, an unknown one, an unknown argument, or a request of no form.
    """
    section = recipe.unlearning
    if section.method is None:
        raise InputError(f"unlearning.method is not set: pass one of {', '.join([*sorted(UNLEARNERS), RETRAIN])}")
    if section.method not in (*UNLEARNERS, RETRAIN) and not is_outside(section.method):
        raise unknown_key(section.method, [*sorted(UNLEARNERS), RETRAIN], "unlearning.method")
    if section.method == RETRAIN:
        if section.u_lira:
            raise InputError(
                "unlearning.u_lira is set with method 'retrain': retrained models are its never-seen side"
            )
        if section.training:
            raise InputError(
                "unlearning.training is set with method 'retrain': it trains by the recipe's own training section"
            )
        training_arguments(recipe, recipe.output_dir)
    else:
        unlearning_arguments(recipe, recipe.output_dir)


def unlearning_arguments(recipe: Recipe, output_dir: str | Path) -> UnlearningConfig:
    """The section's training as the method's config, on what the recipe's own training leaves to it.

    Raises
    ------
    InputError
        For a method that is not for the recipe's task, an unknown key, a value of the wrong kind or out of its range,
        or one that the report may not show.
    """
    method = str(recipe.unlearning.method)
    kind = unlearner_class(method)
    if recipe.task not in kind.tasks:
        raise InputError(
            f"unlearning.method {method!r} is for {', '.join(kind.tasks)}: task {recipe.task!r} needs another"
        )
    defaults = {"learning_rate": 0.1 * training_arguments(recipe, output_dir).learning_rate, **_shared(recipe)}
    if not task_named(recipe.task).has_classes:
        defaults["check_evidence"] = False  # the split says who was trained on, which one person's rows may not show
    section = "unlearning.training"
    args = config_from({**defaults, **recipe.unlearning.training}, kind.config_class, output_dir, section=section)
    refuse_leaks(own_arguments(args, base=UnlearningConfig), name=section)
    if args.report_to and args.run_name is None:
        args.run_name = f"{run_name(recipe)}-{method}"
    return args


def relearning_arguments(recipe: Recipe, output_dir: str | Path) -> PrivacyConfig:
    """The recipe's optimizer at its own learning rate, constant: what the forget set is learnt again with."""
    rate = training_arguments(recipe, output_dir).learning_rate
    values = {"learning_rate": rate, "max_steps": max(recipe.unlearning.relearning_steps, 1), **_shared(recipe)}
    quiet = {"logging_strategy": "no", "disable_tqdm": True, "report_to": "none"}
    return config_from({**values, **quiet}, PrivacyConfig, output_dir, section="training")


def _shared(recipe: Recipe) -> dict[str, Any]:
    values = {name: value for name, value in recipe.training.items() if name in SHARED_ARGUMENTS}
    return {"lr_scheduler_type": "constant", **values}


def start_model(experiment: Experiment, folder: str | Path) -> torch.nn.Module:
    """The saved model of a folder, trainable where the recipe trains: under LoRA, the adapter and the head.

    Raises
    ------
    InputError
        For a language model's adapter that stands on another base than the recipe's.
    """
    try:
        model = load_saved_model(folder)
    except RuntimeError as error:  # peft's, for an adapter that does not fit
        if "size mismatch" not in str(error):
            raise
        raise InputError(_OTHER_BASE.format(name=Path(folder).name, how="its sizes are others")) from None
    if not experiment.classes:
        _check_base(experiment, model, Path(folder).name)
    return trainable_again(experiment, model)


_OTHER_BASE = (
    "the adapter in {name} stands on another base than the recipe's model.name_or_path: {how}; restore the base that "
    "it was trained on"
)


def _check_base(experiment: Experiment, model: torch.nn.Module, name: str) -> None:
    """Refuse an adapter whose frozen weights are not those that the recipe's adapters are trained on."""
    if experiment.recipe.model.lora is None or not isinstance(bare_model(model), PeftModel):
        return
    theirs = dict(model.named_parameters())
    ours = {key: weight for key, weight in experiment.model_init().named_parameters() if not weight.requires_grad}
    others = [key for key, weight in ours.items() if key not in theirs or not _alike(theirs[key], weight)]
    if others:
        how = f"{len(others)} of its {len(ours)} frozen weights differ"
        raise InputError(_OTHER_BASE.format(name=name, how=how))


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.detach().to(other.device, other.dtype), other.detach())


def trainable_again(experiment: Experiment, model: torch.nn.Module) -> torch.nn.Module:
    """A loaded model of the recipe with the parameters trainable that the recipe trains; a loaded adapter has none.

    Of one whose adapter was added to its base, the weights that it was added to.
    """
    fresh = experiment.model_init()
    trainable = {name for name, parameter in fresh.named_parameters() if parameter.requires_grad}
    if isinstance(fresh, PeftModel) and not isinstance(bare_model(model), PeftModel):
        trainable = set(adapted_weights(fresh))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
    return model.train()


def unlearner(
    experiment: Experiment,
    rows: UnlearningRows,
    model: torch.nn.Module,
    *,
    output_dir: str | Path,
    references: str | Path | None = None,
) -> UnlearningTrainer:
    """The recipe's unlearner on its rows; "retrain" is no unlearner, see `hf_privacy.references.retrained_run`.

    Parameters
    ----------
    experiment : Experiment
    rows : UnlearningRows
    model : torch.nn.Module
        What `start_model` gives; it is changed in place.
    output_dir : path
        Where checkpoints go; never the folder the model came from.
    references : path, optional
        The audit's store of reference signals, for methods that learn from them.

    Raises
    ------
    InputError
        As the trainer, and where reference models are needed and there are none.
    """
    trainer_class = unlearner_class(str(experiment.recipe.unlearning.method))
    args = unlearning_arguments(experiment.recipe, output_dir)
    is_there = references is not None and (Path(references) / "metadata.json").is_file()
    split = experiment.split
    pool = experiment.dataset.subset(np.concatenate([split.pool, split.population]))
    return trainer_class(
        model,
        args,
        experiment.training_view(rows.split.forget),
        experiment.training_view(rows.split.retain),
        experiment.dataset.subset(rows.split.heldout),
        processing_class=experiment.processor,
        **trainer_class.arguments_of_references(
            args,
            SignalStore.open(references) if is_there else None,
            pool.column("labels").numpy(),
            n_classes=len(experiment.classes),
            # Of rows of tokens, what the base says of them is a part of what there is to learn from.
            **({} if experiment.classes else {"dataset": pool, "model": model}),
        ),
    )
