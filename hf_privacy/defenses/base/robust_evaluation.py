"""Robust accuracy in `trainer.evaluate()`: attacks that `PrivacyConfig.eval_attack` asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from hf_privacy.adversarial import PGD, AdversarialInputs, input_space
from hf_privacy.adversarial.autoattack import AutoAttack
from hf_privacy.arguments import check_number, check_seed, check_switch, check_whole, seen
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals.robustness import adversarial_correct

_PGD_DEFAULTS = {"epsilon": None, "norm": "linf", "n_steps": 20, "step_size": None, "loss": "cross_entropy"}
_DEFAULTS = {**_PGD_DEFAULTS, "autoattack": False, "max_examples": None, "seed": 0}


def eval_attack_settings(given: Mapping[str, Any] | str) -> dict[str, Any]:
    """The complete settings of the attacks an evaluation runs, from a mapping or, on a command line, from JSON.

    Parameters
    ----------
    given : mapping or str
        ``epsilon`` (required, in the units of the model's input space: pixels in 0..1, features, embeddings),
        ``norm`` ("linf"), ``n_steps`` (20), ``step_size`` (1.25·epsilon / n_steps) and ``loss`` ("cross_entropy") of
        the PGD attack; ``autoattack`` (False): run AutoAttack too, for images; ``max_examples`` (all): attack so many
        examples of the evaluation set, drawn at random, the same at every evaluation; ``seed`` (0) of that draw and of
        the attacks.

    Raises
    ------
    InputError
        For what is no mapping, an unknown key, no epsilon, or a value out of range.

    Examples
    --------
    >>> settings = eval_attack_settings('{"epsilon": 0.03, "max_examples": 1000}')
    >>> settings["epsilon"], settings["n_steps"], settings["autoattack"]
    (0.03, 20, False)
    """
    example = '{"epsilon": 0.03, "n_steps": 20, "autoattack": false, "max_examples": 1000}'
    try:
        chosen = json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError:
        chosen = None
    if not isinstance(chosen, Mapping):
        raise InputError(
            f"eval_attack is {seen(given)}: pass a dictionary, on a command line as JSON, such as {example}"
        )
    unknown = [key for key in chosen if key not in _DEFAULTS]
    if unknown:
        raise InputError(f"eval_attack has the key {unknown[0]!r}: pass some of {', '.join(_DEFAULTS)}")
    settings = {**_DEFAULTS, **chosen}
    for key, value in settings.items():
        if key in ("epsilon", "step_size") and not (value is None and key == "step_size"):
            check_number(f"eval_attack's {key}", value, 0.0, such_as=f"{8 / 255:.4f} for 8/255")
        elif key in ("n_steps", "max_examples") and not (value is None and key == "max_examples"):
            check_whole(f"eval_attack's {key}", value, at_least=1)
    check_switch("eval_attack's autoattack", settings["autoattack"])
    check_seed(settings["seed"], name="eval_attack's seed")
    _pgd(settings)  # refuses the rest
    return settings


def _pgd(settings: Mapping[str, Any]) -> PGD:
    return PGD(**{key: settings[key] for key in _PGD_DEFAULTS})


class RobustEvaluationMixin:
    """The part of `PrivacyTrainer` that attacks what it evaluates; stands before `transformers.Trainer`.

    With ``args.eval_attack``, `evaluate` adds the share of examples that are classified correctly as they are and
    under attack: ``eval_robust_accuracy`` (PGD), ``eval_autoattack_accuracy`` where AutoAttack is asked for, and
    ``eval_robust_examples``, how many were attacked. The model in training is attacked in evaluation mode and float32;
    no weight, gradient or random state is changed, so a run with attacks trains exactly as one without. Over several
    processes each example is attacked once.
    """

    eval_attacks: dict[str, AdversarialInputs | AutoAttack]

    def prepare_eval_attacks(self) -> None:
        """Build the attacks of ``args.eval_attack``, so that what cannot be attacked is refused before training.

        Raises
        ------
        InputError
            For a model without classes, a model or processor without an input space, an epsilon in units of 0..255,
            AutoAttack without images or without its library, a sharded model, or evaluation data without length.
        """
        self.eval_attacks = {}
        settings = self.args.eval_attack
        if settings is None:
            return
        if not self.task.has_classes:
            raise InputError(f"eval_attack is set and the model is for {self.task.name}: it has no accuracy to attack")
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            raise InputError(
                "eval_attack is set and the model is sharded: attack the saved model on one process instead"
            )
        given = self.eval_dataset if isinstance(self.eval_dataset, dict) else {"": self.eval_dataset}
        for dataset in given.values():
            if isinstance(dataset, torch.utils.data.IterableDataset):
                raise InputError("eval_dataset is iterable and eval_attack is set: pass a dataset with a length")
        space = input_space(self.model, self.processing_class)
        attack = _pgd(settings)
        self.eval_attacks["robust_accuracy"] = AdversarialInputs(space, attack, seed=settings["seed"])
        if settings["autoattack"]:
            self.eval_attacks["autoattack_accuracy"] = AutoAttack(
                space, attack.epsilon, attack.norm, seed=settings["seed"]
            )

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> Any:
        """As in the stock Trainer, with the attacks' metrics, which are logged and shown to callbacks like the rest.

        `predict`, which runs this loop too, attacks nothing.
        """
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        if self.eval_attacks and description == "Evaluation":
            found = self._robust_metrics(_tensors_of(dataloader))
            output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in found.items()})
        return output

    def _robust_metrics(self, dataset: TensorDataset) -> dict[str, float | int]:
        settings = self.args.eval_attack
        if settings["max_examples"] is not None and settings["max_examples"] < len(dataset):
            rows = np.random.default_rng(settings["seed"]).permutation(len(dataset))[: settings["max_examples"]]
            dataset = dataset.subset(np.sort(rows))
        metrics: dict[str, float | int] = {}
        for name, attack in self.eval_attacks.items():
            correct = adversarial_correct(
                self.model,
                dataset,
                attack=attack,
                batch_size=self.args.per_device_eval_batch_size,
                accelerator=self.accelerator,
                progress=not self.args.disable_tqdm,
            )
            metrics[name] = float(correct.mean())
        return {**metrics, "robust_examples": len(dataset)}


def _tensors_of(dataloader: DataLoader) -> TensorDataset:
    """What the loader goes through, as tensors: collated once, so that texts are padded to one length."""
    dataset = dataloader.dataset
    if isinstance(dataset, TensorDataset):
        return dataset
    return TensorDataset(dict(dataloader.collate_fn([dataset[row] for row in range(len(dataset))])))
