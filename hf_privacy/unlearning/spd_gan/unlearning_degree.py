"""The unlearning degree of an unlearner, from the perturbed forget set to the number beside its ceiling."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hf_privacy.adversarial import PixelSpace
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.forgetting.unlearning_degree import unlearning_degree
from hf_privacy.signals import compute_signals
from hf_privacy.unlearning.spd_gan.acceptance import (
    PerturbedSetAcceptance,
    accept_perturbed_set,
    check_acceptance_settings,
)
from hf_privacy.unlearning.spd_gan.checks import check_images
from hf_privacy.unlearning.spd_gan.config import SPDGANConfig
from hf_privacy.unlearning.spd_gan.spd_gan import perturbed_forget_set, train_spd_gan

Forget = Callable[
    [torch.nn.Module, TensorDataset, TensorDataset, TensorDataset | None],
    torch.nn.Module,
]


@dataclass(frozen=True)
class UnlearningDegree:
    """What :func:`measure_unlearning_degree` found.

    Attributes
    ----------
    acceptance : PerturbedSetAcceptance
        Whether the perturbed set can show forgetting at all.
    figures : dict, or None
        Of :func:`hf_privacy.forgetting.unlearning_degree`, with ``ceiling_is_attacked``: whether the ceiling is that
        of the classifier the perturbation was made against, and so on the high side. None for a set that was not
        accepted: nothing was unlearned then.
    correct : dict of str to bool array [N]
        Right or wrong on each perturbed example: "retain_only" (the classifier attacked), "before", and with figures
        "after".
    perturbed_dataset : TensorDataset
    seconds : dict of str to float
        "retain_only", "generator", "training", "unlearning".
    """

    acceptance: PerturbedSetAcceptance
    figures: dict[str, Any] | None
    correct: dict[str, np.ndarray]
    perturbed_dataset: TensorDataset
    seconds: dict[str, float]


@dataclass(frozen=True)
class PerturbedTraining:
    """A model trained with a perturbed forget set, for one unlearner or several; see :func:`train_with_perturbed_set`.

    Attributes
    ----------
    model : torch.nn.Module
        Trained on `retain_dataset` and `forget_dataset`.
    forget_dataset, retain_dataset : TensorDataset
        The perturbed set, and the set to keep.
    heldout_dataset : TensorDataset, optional
    acceptance : PerturbedSetAcceptance
    correct : dict of str to bool array [N]
        "retain_only" and "before".
    of_retrained : bool array [R, N]
        Right or wrong of the models that give the ceiling.
    ceiling_is_attacked : bool
    seconds : dict of str to float
        "retain_only", "generator", "training".
    batch_size : int
    accelerator : Accelerator, optional
        For the pass that looks at the predictions of the unlearned model.
    """

    model: torch.nn.Module
    forget_dataset: TensorDataset
    retain_dataset: TensorDataset
    heldout_dataset: TensorDataset | None
    acceptance: PerturbedSetAcceptance
    correct: dict[str, np.ndarray]
    of_retrained: np.ndarray
    ceiling_is_attacked: bool
    seconds: dict[str, float]
    batch_size: int = 256
    accelerator: Accelerator | None = None

    def degree(self, forget: Forget) -> UnlearningDegree:
        """Let a copy of the model unlearn the perturbed set, and see how much accuracy on it goes.

        Parameters
        ----------
        forget : callable
            As in `measure_unlearning_degree`.

        Raises
        ------
        InputError
            When `forget` returns no model.
        """
        correct, seconds = dict(self.correct), dict(self.seconds)
        perturbed = self.forget_dataset.with_augmentation(None)
        if not self.acceptance.accepted:
            return UnlearningDegree(self.acceptance, None, correct, perturbed, seconds)
        sets = self.forget_dataset, self.retain_dataset, self.heldout_dataset
        with _timed(seconds, "unlearning"):
            unlearned = _model(forget(copy.deepcopy(self.model), *sets), "forget")
        correct["after"] = _correct_of(unlearned, perturbed, self.batch_size, self.accelerator)
        figures = unlearning_degree(correct["before"], correct["after"], self.of_retrained)
        figures["ceiling_is_attacked"] = self.ceiling_is_attacked
        return UnlearningDegree(self.acceptance, figures, correct, perturbed, seconds)


def train_with_perturbed_set(
    forget_dataset: TensorDataset,
    retain_dataset: TensorDataset,
    heldout_dataset: TensorDataset | None = None,
    *,
    fit: Callable[[TensorDataset], torch.nn.Module],
    space: PixelSpace | None = None,
    processor: Any = None,
    retrained: Sequence[torch.nn.Module] = (),
    config: SPDGANConfig | None = None,
    level: float = 0.05,
    min_drop: float = 0.1,
    min_accuracy_fitted: float = 0.9,
    batch_size: int = 256,
    accelerator: Accelerator | None = None,
    output_dir: str | Path | None = None,
    progress: bool = False,
) -> PerturbedTraining:
    """Steps 1 to 4 of :func:`measure_unlearning_degree`, which several unlearners can share.

    Parameters
    ----------
    forget_dataset, retain_dataset : TensorDataset
        Images; together the training set. The retain set's augmentation also holds for the perturbed images.
    heldout_dataset : TensorDataset, optional
        Kept for the unlearners.
    fit : callable
        From a training set to a trained model: the recipe. Called for the retain set, then for retain and perturbed
        set together.
    space, processor, config, accelerator, output_dir, progress : optional
        As in :func:`~hf_privacy.unlearning.train_spd_gan`.
    retrained : sequence of torch.nn.Module, optional
        Models trained by the same recipe on the retain set alone **from other seeds**: the ceiling. Without any, the
        classifier that was attacked serves, whose ceiling is too high by what the perturbation does to it alone.
    level, min_drop, min_accuracy_fitted : float, optional
        As in :func:`~hf_privacy.unlearning.accept_perturbed_set`. The retrained models, where given, are the
        retain-only classifiers it judges by: the first of them.
    batch_size : int, default 256
        Of the passes that look at predictions.

    Returns
    -------
    PerturbedTraining
        Whose ``degree`` lets a copy of the model unlearn.

    Raises
    ------
    InputError
        As `train_spd_gan`; for acceptance settings outside their range; and when `fit` returns no model.

    References
    ----------
    As `measure_unlearning_degree`.
    """
    check_images(forget_dataset, retain_dataset)
    check_acceptance_settings(level, min_drop, min_accuracy_fitted)  # now, not after two trainings
    seconds: dict[str, float] = {}
    with _timed(seconds, "retain_only"):
        classifier = _model(fit(retain_dataset), "fit")
    with _timed(seconds, "generator"):
        generator = train_spd_gan(
            forget_dataset,
            retain_dataset,
            retain_classifier=classifier,
            space=space,
            processor=processor,
            config=config,
            accelerator=accelerator,
            output_dir=output_dir,
            progress=progress,
        )
        perturbed = perturbed_forget_set(generator, forget_dataset)
    together, n_retain = _joined(retain_dataset, perturbed), len(retain_dataset)
    with _timed(seconds, "training"):
        model = _model(fit(together), "fit")

    correct_of = partial(_correct_of, batch_size=batch_size, accelerator=accelerator)
    judges = list(retrained) or [classifier]
    correct = {"retain_only": correct_of(classifier, perturbed), "before": correct_of(model, perturbed)}
    of_judges = [correct["retain_only"]] if not retrained else [correct_of(judge, perturbed) for judge in judges]
    acceptance = accept_perturbed_set(
        correct_of(judges[0], forget_dataset),
        of_judges[0],
        correct["before"],
        level=level,
        min_drop=min_drop,
        min_accuracy_fitted=min_accuracy_fitted,
    )
    rows = range(len(together))
    return PerturbedTraining(
        model=model,
        forget_dataset=together.subset(rows[n_retain:]),
        retain_dataset=together.subset(rows[:n_retain]),
        heldout_dataset=heldout_dataset,
        acceptance=acceptance,
        correct=correct,
        of_retrained=np.stack(of_judges),
        ceiling_is_attacked=not retrained,
        seconds=seconds,
        batch_size=batch_size,
        accelerator=accelerator,
    )


def measure_unlearning_degree(
    forget_dataset: TensorDataset,
    retain_dataset: TensorDataset,
    heldout_dataset: TensorDataset | None = None,
    *,
    forget: Forget,
    **settings: Any,
) -> UnlearningDegree:
    """Perturb the forget set, train with it, unlearn it, and see how much accuracy on it goes.

    1. A classifier is trained on the retain set alone. 2. SPD-GAN perturbs the forget set against it. 3. A model is
    trained on the retain set and the perturbed set. 4. `accept_perturbed_set` says whether the perturbed set can tell
    anything; if not, it ends here, without a degree. 5. The model unlearns the perturbed set.
    6. Degree = Acc_before − Acc_after on the perturbed set, beside the ceiling, Acc_before − Acc_retrained.

    To measure several unlearners on one perturbed set, call `train_with_perturbed_set` and its ``degree`` for each.

    Parameters
    ----------
    forget_dataset, retain_dataset, heldout_dataset : TensorDataset
        As in `train_with_perturbed_set`; the last is passed on to `forget`.
    forget : callable
        From the trained model, the set to forget, the set to keep and the held-out set to a model that has
        forgotten, e.g. ``lambda model, *sets: unlearned(SCRUBTrainer(model, args, *sets))``. It may change the model
        it is given. The two sets share no rows.
    **settings
        ``fit`` and the rest, as in `train_with_perturbed_set`.

    Returns
    -------
    UnlearningDegree

    Raises
    ------
    InputError
        As `train_spd_gan`; and when `fit` or `forget` returns no model.

    References
    ----------
    Zuo et al. (2025), "Machine unlearning through fine-grained model parameters perturbation", TKDE, arXiv 2401.04385.
    The acceptance test and the ceiling are ours.
    """
    return train_with_perturbed_set(forget_dataset, retain_dataset, heldout_dataset, **settings).degree(forget)


def _correct_of(
    model: torch.nn.Module, dataset: TensorDataset, batch_size: int, accelerator: Accelerator | None
) -> np.ndarray:
    signals = compute_signals(model, dataset, batch_size=batch_size, accelerator=accelerator)
    return signals["correct"][0] == 1


def _joined(retain: TensorDataset, perturbed: TensorDataset) -> TensorDataset:
    """The rows of `retain`, then those of `perturbed`, augmented as `retain` is."""
    return retain.joined(perturbed).with_augmentation(retain.augmentation)


def _model(model: Any, name: str) -> torch.nn.Module:
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"{name} returned {type(model).__name__}: return the model")
    return model


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[part] = time.perf_counter() - started
