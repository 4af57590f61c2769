"""From a recipe's unlearning section to what runs: the method, the model to start from, the unlearner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_privacy.defenses import PrivacyConfig
from hf_privacy.errors import InputError
from hf_privacy.models import load_saved_model
from hf_privacy.recipe.config import Recipe, unknown_key
from hf_privacy.recipe.config_arguments import config_from
from hf_privacy.recipe.experiment import Experiment, training_arguments
from hf_privacy.recipe.forget_rows import UnlearningRows
from hf_privacy.signals import SignalStore
from hf_privacy.unlearning import (
    BadTeacherConfig,
    BadTeacherTrainer,
    FineTuneConfig,
    FineTuneTrainer,
    FisherConfig,
    FisherTrainer,
    GradientAscentConfig,
    GradientAscentTrainer,
    L1SparseConfig,
    L1SparseTrainer,
    NegGradPlusConfig,
    NegGradPlusTrainer,
    ParameterPerturbationConfig,
    ParameterPerturbationTrainer,
    RandomLabelsConfig,
    RandomLabelsTrainer,
    ReMIConfig,
    ReMITrainer,
    SalUnConfig,
    SalUnTrainer,
    SCRUBConfig,
    SCRUBTrainer,
    ShadowFeatures,
    SSDConfig,
    SSDTrainer,
    UnlearningConfig,
    UnlearningTrainer,
    shadow_features_of_store,
)

RETRAIN = "retrain"
# Each method: its trainer and the config whose fields the section's training may set.
UNLEARNERS: dict[str, tuple[type[UnlearningTrainer], type[UnlearningConfig]]] = {
    "bad_teacher": (BadTeacherTrainer, BadTeacherConfig),
    "fine_tune": (FineTuneTrainer, FineTuneConfig),
    "fisher": (FisherTrainer, FisherConfig),
    "gradient_ascent": (GradientAscentTrainer, GradientAscentConfig),
    "l1_sparse": (L1SparseTrainer, L1SparseConfig),
    "neg_grad_plus": (NegGradPlusTrainer, NegGradPlusConfig),
    "parameter_perturbation": (ParameterPerturbationTrainer, ParameterPerturbationConfig),
    "random_labels": (RandomLabelsTrainer, RandomLabelsConfig),
    "remi": (ReMITrainer, ReMIConfig),
    "salun": (SalUnTrainer, SalUnConfig),
    "scrub": (SCRUBTrainer, SCRUBConfig),
    "ssd": (SSDTrainer, SSDConfig),
}

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
    if section.method not in (*UNLEARNERS, RETRAIN):
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
        For an unknown key, a value of the wrong kind or out of its range.
    """
    assert recipe.unlearning.method is not None
    _, config_class = UNLEARNERS[recipe.unlearning.method]
    defaults = {"learning_rate": 0.1 * training_arguments(recipe, output_dir).learning_rate, **_shared(recipe)}
    return config_from(
        {**defaults, **recipe.unlearning.training}, config_class, output_dir, section="unlearning.training"
    )


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
    """The saved model of a folder, trainable where the recipe trains: under LoRA, the adapter and the head."""
    return trainable_again(experiment, load_saved_model(folder))


def trainable_again(experiment: Experiment, model: torch.nn.Module) -> torch.nn.Module:
    """A loaded model of the recipe with the parameters trainable that the recipe trains; a loaded adapter has none."""
    trainable = {name for name, parameter in experiment.model_init().named_parameters() if parameter.requires_grad}
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
        The audit's store of reference signals, for ReMI with the approximator "inference".

    Raises
    ------
    InputError
        As the trainer, and where shadow models are needed and there are none.
    """
    trainer_class, _ = UNLEARNERS[str(experiment.recipe.unlearning.method)]
    args = unlearning_arguments(experiment.recipe, output_dir)
    others: dict[str, Any] = {}
    if isinstance(args, ReMIConfig) and args.approximator == "inference":
        others["shadow_features"] = _shadows(experiment, args, references)
    return trainer_class(
        model,
        args,
        experiment.training_view(rows.split.forget),
        experiment.training_view(rows.split.retain),
        experiment.dataset.subset(rows.split.heldout),
        processing_class=experiment.processor,
        **others,
    )


def _shadows(experiment: Experiment, args: ReMIConfig, references: str | Path | None) -> ShadowFeatures:
    if references is None or not (Path(references) / "metadata.json").is_file():
        raise InputError(
            "unlearning.training.approximator is 'inference' and there are no reference models: run `hf-privacy "
            "audit` first, or pass 'fingerprint', which needs none"
        )
    split = experiment.split
    labels = experiment.dataset.column("labels").numpy()[np.concatenate([split.pool, split.population])]
    return shadow_features_of_store(
        SignalStore.open(references), labels, n_classes=len(experiment.classes), features=args.features or []
    )
