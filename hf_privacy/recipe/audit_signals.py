"""What an audit's settings ask of every model beyond its clean signals: an attack on its inputs, and curvature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from hf_privacy.adversarial import PGD, AdversarialInputs, InputSpace, input_space
from hf_privacy.adversarial.autoattack import AutoAttack
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.recipe.audit_settings import AuditSettings
from hf_privacy.recipe.robustness_settings import RobustnessSettings
from hf_privacy.signals import Curvature


def adversarial_inputs(
    options: AuditSettings, model: torch.nn.Module, processor: Any, dataset: TensorDataset
) -> AdversarialInputs | None:
    """The attack of the query "adversarial", or None where robustness is not asked for.

    The same for target and references: the space comes from the task and the processor, not from a model's weights.

    Parameters
    ----------
    options : AuditSettings
    model : torch.nn.Module
        The target or an untrained model of its recipe; its task decides where inputs may move.
    processor : image processor, tokenizer or None
        For images: with the normalisation that pixels are taken through.
    dataset : TensorDataset
        Whose first examples are attacked with one step, to see that it can be done.

    Raises
    ------
    InputError
        For pixel distances in units of 0–255, AutoAttack on anything but images or without its library, or a
        processor without normalisation facts, or not that of the data.
    """
    if options.robustness is None:
        return None
    settings = RobustnessSettings.from_dict(options.robustness)
    first = dataset.subset(range(min(2, len(dataset))))
    inputs = {name: first.column(name) for name in first.column_names if name != "labels"}
    space = input_space(model, processor, inputs=inputs)
    attack = PGD(settings.epsilon, norm=settings.norm, n_steps=settings.n_steps, step_size=settings.step_size)
    found = AdversarialInputs(space=space, attack=attack)
    # What these refuse is refused now, not when the references are trained.
    replace(found, attack=replace(attack, n_steps=1))(model, inputs, first.column("labels"))
    auto_attack(settings, space)
    return found


def auto_attack(settings: RobustnessSettings, space: InputSpace) -> AutoAttack | None:
    """AutoAttack within the same ball, or None where it is not asked for.

    Raises
    ------
    InputError
        For anything but images, or without its library.
    """
    if not settings.autoattack:
        return None
    if space.name != "pixels":
        raise InputError(
            f"robustness.autoattack is set and the model takes {space.name}: AutoAttack is for images; leave it out, "
            "PGD is measured all the same"
        )
    return AutoAttack(space, settings.epsilon, norm=settings.norm)


def curvature_settings(options: AuditSettings) -> Curvature | None:
    """The curvature of an audit, by Hessian-vector products; None where it is not asked for."""
    return Curvature(n_vectors=options.curvature) if options.curvature else None
