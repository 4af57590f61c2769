"""What the stages after training would refuse, refused before it: unlearning and audit."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from peft import PeftModel

from hf_privacy.arguments import unknown_key
from hf_privacy.errors import InputError
from hf_privacy.models import bare_model
from hf_privacy.recipe.audit_signals import adversarial_inputs
from hf_privacy.recipe.canary_settings import canary_kind
from hf_privacy.recipe.config import Recipe
from hf_privacy.recipe.experiment import Experiment
from hf_privacy.recipe.forget_rows import check_form, request_of, requested_rows, unlearning_rows
from hf_privacy.recipe.unlearning import check_unlearning
from hf_privacy.tasks import task_named
from hf_privacy.unlearning import UNLEARNERS, unlearner_class


def check_later_sections(recipe: Recipe) -> None:
    """Refuse an unlearning section that no data are needed to refuse; without a method, what none of them takes.

    Raises
    ------
    InputError
        As `check_unlearning`, and for a request of no form, or of one that the recipe's rows cannot answer.
    """
    if recipe.unlearning.method is not None:
        check_unlearning(recipe)
    elif recipe.unlearning.training:
        known = {field.name for name in UNLEARNERS for field in fields(unlearner_class(name).config_class)}
        for key in recipe.unlearning.training:
            if key not in known:
                raise unknown_key(str(key), sorted(known), "section 'unlearning.training'")
    if recipe.unlearning.request:
        check_form(recipe, request_of(recipe.unlearning.request))


def check_later_stages(experiment: Experiment, model: torch.nn.Module) -> None:
    """Refuse what audit and unlearning would refuse once they have model and rows.

    Parameters
    ----------
    experiment : Experiment
    model : torch.nn.Module
        An untrained model of the recipe.

    Raises
    ------
    InputError
        For an attack on inputs that cannot be made, more canaries than there are rows, new tokens as canaries of a
        model that cannot learn them, a population too small for the
        audit, or a request to forget that names no member.
    """
    recipe, split = experiment.recipe, experiment.split
    options = recipe.audit
    adversarial_inputs(options, model, experiment.processor, experiment.dataset)
    n_outside = len(experiment.dataset) - len(split.members)
    kind = canary_kind(options.canaries.kind, has_classes=task_named(recipe.task).has_classes)
    if kind == "mislabelled" and options.canaries.n > n_outside:
        raise InputError(
            f"audit.canaries is {options.canaries.n:,} and {n_outside:,} rows lie outside the training set: ask for "
            "fewer, or for audit.canaries.kind 'random'"
        )
    if options.canaries.n:
        check_new_tokens(model, kind)
    if recipe.unlearning.method is not None and recipe.unlearning.request:
        forget = requested_rows(experiment, request_of(recipe.unlearning.request))
        unlearning_rows(experiment, np.asarray(forget))


def check_new_tokens(model: torch.nn.Module, kind: str) -> None:
    """Refuse canaries that are new tokens for a model whose embedding or head is not trained.

    Raises
    ------
    InputError
    """
    if kind != "new_last_token":
        return
    bare = bare_model(model)
    ends = (bare.get_input_embeddings(), bare.get_output_embeddings())
    adapted = isinstance(bare, PeftModel)
    if adapted or not all(end is not None and end.weight.requires_grad for end in ends):
        why = "an adapter leaves both as they are" if adapted else "this model's are frozen"
        raise InputError(
            f"canaries.kind is 'new_last_token': a new token is learnt by embedding and head, and {why}; use "
            "'random_tokens' or 'suffix', or train all weights"
        )
