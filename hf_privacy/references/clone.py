"""A reference model's trainer: the target's own, with other data and another seed."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from peft import PeftModel
from transformers import ImageProcessingMixin, PrinterCallback, TrainerCallback, set_seed
from transformers.trainer_callback import ProgressCallback

from hf_privacy.data import TensorDataset, tensors_digest
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.observers.epoch_collector import EpochCollector
from hf_privacy.errors import InputError
from hf_privacy.outside import own_sources
from hf_privacy.recipe.shaping import shaping_arguments
from hf_privacy.references.plan import ReferencePlan
from hf_privacy.signals.store_metadata import minor_version


def reference_trainer(
    trainer: PrivacyTrainer, train_dataset: TensorDataset, *, seed: int, output_dir: str | Path
) -> PrivacyTrainer:
    """A trainer like ``trainer`` in everything but its training set and seed.

    Same class, arguments, model (from ``model_init``), defence, callbacks as they were before training, processor.
    It evaluates nothing, logs nothing and pushes nothing, and callbacks that only watch the training of single
    examples (`TrainingDynamicsCallback`, `CurvatureCallback`) are left out.

    Parameters
    ----------
    trainer : PrivacyTrainer
        The target's; built with ``model_init``.
    train_dataset : TensorDataset
    seed : int
        Seeds the initial weights, dropout, augmentation and the order of the examples.
    output_dir : path
        Where checkpoints go, if the target's arguments write any.

    Raises
    ------
    InputError
        If ``trainer`` was built from a model instead of a ``model_init``, trains on something else than a
        `TensorDataset`, picks its best checkpoint, or runs on several processes.
    """
    require_cloneable(trainer)
    args = copy.deepcopy(trainer.args)
    args.output_dir = str(output_dir)
    args.seed = seed
    args.data_seed = None
    args.push_to_hub = False
    args.eval_strategy = "no"
    args.logging_strategy = "no"
    args.report_to = []
    args.disable_tqdm = True
    clone = type(trainer)(
        args=args,
        model_init=trainer.model_init,
        data_collator=trainer.data_collator,
        train_dataset=train_dataset,
        processing_class=trainer.processing_class,
        callbacks=copy.deepcopy(_shaping_callbacks(trainer)),
        optimizer_cls_and_kwargs=trainer.optimizer_cls_and_kwargs,
    )
    clone.remove_callback(PrinterCallback)
    clone.remove_callback(ProgressCallback)
    return clone


def require_cloneable(trainer: PrivacyTrainer) -> None:
    """Refuse a trainer that references cannot be made of, before anything is trained."""
    if trainer.model_init is None:
        raise InputError(
            "the trainer was built from a model: build it with model_init (a function that returns the untrained "
            "model), so that reference models can start from where it started"
        )
    if not isinstance(trainer.train_dataset, TensorDataset):
        raise InputError(
            f"the trainer's train_dataset is {type(trainer.train_dataset).__name__}: reference models are trained on "
            "subsets of a TensorDataset; make one with hf_privacy.data.encode_images, encode_text or encode_features"
        )
    if trainer.args.load_best_model_at_end:
        raise InputError(
            "load_best_model_at_end is set: reference models have no held-out examples to choose a checkpoint by, so "
            "they would not mirror the target; train without it"
        )
    if trainer.args.world_size > 1:
        raise InputError(
            f"the trainer runs on {trainer.args.world_size} processes: references are trained one a process; run "
            "`accelerate launch -m hf_privacy.cli audit`, which spreads them, or audit from a single process"
        )


def recipe_hash(trainer: PrivacyTrainer, plan: ReferencePlan, *, dataset_fingerprint: str, pool_hash: str) -> str:
    """What must be equal for stored reference signals to be of use: sha256 hex.

    Covers the trainer's class and defence, the arguments that shape the weights, the model's configuration and its
    adapter's, the minor versions of peft and timm where it is of them, the initial weights under seed 0 (and with them
    the checkpoint), the callbacks, the processor, the dataset, the pool and the plan. Of classes that a user has
    written, trainer and callbacks, the source file goes in too. The versions of what every model stands on are the
    store's own (`hf_privacy.signals.store_metadata.PACKAGES`).
    """
    require_cloneable(trainer)
    arguments = shaping_arguments(trainer.args.to_dict(), seeds=False)
    processor = trainer.processing_class
    model = _initial_model(trainer)
    description = {
        # Where it lies in this package may change, what it is called does not.
        "trainer": type(trainer).__qualname__,
        "sources": [own_sources(type(part)) for part in (trainer, *_shaping_callbacks(trainer))],
        "defense": trainer.defense_name,
        "arguments": arguments,
        "callbacks": [_name_of(callback) for callback in _shaping_callbacks(trainer)],
        "model": _configuration(model),
        "initial_weights": tensors_digest(model.state_dict()),
        "trainable": sorted(name for name, parameter in model.named_parameters() if parameter.requires_grad),
        "processor": _processor(processor),
        "libraries": _libraries(model),
        "augmentation": _name_of(trainer.train_dataset.augmentation),
        "dataset": dataset_fingerprint,
        "pool": pool_hash,
        "plan": _plan_hash(plan),
    }
    return hashlib.sha256(json.dumps(_stable(description), sort_keys=True).encode()).hexdigest()


def _shaping_callbacks(trainer: PrivacyTrainer) -> list[TrainerCallback]:
    """All but those that leave the weights as they are, bit for bit, and would fill the store's folder."""
    return [callback for callback in trainer.initial_callbacks if not isinstance(callback, EpochCollector)]


def _plan_hash(plan: ReferencePlan) -> str:
    """Equal for plans of which one continues the other: halves come in pairs, each drawn by itself."""
    rows = plan.membership[:2] if plan.fraction == 0.5 else plan.membership
    return hashlib.sha256(f"{plan.seed} {plan.fraction}".encode() + rows.tobytes()).hexdigest()


def _initial_model(trainer: PrivacyTrainer) -> torch.nn.Module:
    state = torch.random.get_rng_state()
    set_seed(0)
    model = trainer.model_init()
    torch.random.set_rng_state(state)
    return model


def _configuration(model: torch.nn.Module) -> dict[str, Any]:
    """What shapes training and does not show in the initial weights: dropout, activations, LoRA's alpha."""
    settings = {"config": model.config.to_dict()}
    if isinstance(model, PeftModel):
        settings |= {name: adapter.to_dict() for name, adapter in model.peft_config.items()}
    # Where it was loaded from is not what it is.
    places = ("_name_or_path", "base_model_name_or_path", "transformers_version")
    return {part: {k: v for k, v in values.items() if k not in places} for part, values in settings.items()}


def _libraries(model: torch.nn.Module) -> dict[str, str]:
    """Versions of the libraries that this model is of and others are not."""
    used = {"peft": isinstance(model, PeftModel), "timm": model.config.model_type == "timm_wrapper"}
    return {name: minor_version(name) for name, is_used in used.items() if is_used}


# What an image processor does to pixels: defences that move pixels act through it.
_PREPROCESSING = ("size", "do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std", "data_config")


def _processor(processor: Any) -> Any:
    """A processor's kind and, for images, what it does to them."""
    if processor is None:
        return None
    settings = processor.to_dict() if isinstance(processor, ImageProcessingMixin) else {}
    return [type(processor).__name__, {name: settings[name] for name in _PREPROCESSING if name in settings}]


def _name_of(augmentation: Callable | None) -> str:
    """A function's name, or an object's type and plain settings: the same in every process, unlike most ``repr``."""
    if augmentation is None or isinstance(augmentation, FunctionType):
        return getattr(augmentation, "__qualname__", "none")
    return f"{type(augmentation).__qualname__}{sorted(_plain(vars(augmentation)).items())}"


def _stable(value: Any) -> Any:
    """The value as JSON that is the same in every process: sets in order, other objects by their type alone."""
    if isinstance(value, Mapping):
        return {str(key): _stable(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(str(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [_stable(item) for item in value]
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    return str(value) if isinstance(value, (torch.dtype, torch.device)) else type(value).__qualname__


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if isinstance(v, (bool, int, float, str, type(None)))}
