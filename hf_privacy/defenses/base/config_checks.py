"""Checks that all configs share: one sentence each, before anything is trained."""

from __future__ import annotations

import math
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from transformers import TrainingArguments

from hf_privacy.arguments import check_number, check_switch, check_whole
from hf_privacy.errors import InputError

# What fields of `TrainingArguments` may hold, which takes what it is given: the lowest and the highest value.
_LARGEST = 2**31 - 1  # beyond, libraries below wrap around or fail
_WHOLE = {
    "per_device_train_batch_size": (1, _LARGEST),
    "per_device_eval_batch_size": (1, _LARGEST),
    "gradient_accumulation_steps": (1, _LARGEST),
    "eval_accumulation_steps": (1, _LARGEST),
    "max_steps": (-1, _LARGEST),
    "seed": (0, 2**32 - 1),
    "data_seed": (0, 2**32 - 1),
    "dataloader_num_workers": (0, _LARGEST),
    "dataloader_prefetch_factor": (1, _LARGEST),
}
_NOT_NEGATIVE = frozenset(
    """
    num_train_epochs learning_rate weight_decay adam_epsilon max_grad_norm warmup_steps logging_steps eval_steps
    eval_delay save_steps neftune_noise_alpha max_perplexity_rise
    """.split()  # noqa: SIM905 - a list of quoted words hides them
)
_BELOW_ONE = ("adam_beta1", "adam_beta2", "momentum")
_AT_MOST_ONE = ("label_smoothing_factor", "max_auc", "max_extraction", "max_unlearning_gap", "max_retained_loss")


def check_fields(config: Any) -> None:
    """Refuse fields of a dataclass that hold something else than they are annotated as, NaN, or a senseless number.

    A dataclass looks at none of its annotations: ``max_grad_norm=nan`` trains without clipping, ``bf16="no"`` in bf16.
    Fields that are annotated as one of bool, int and float (or None) are looked at; NumPy's numbers become Python's,
    since a config is saved as JSON.

    Raises
    ------
    InputError
        Naming the field, the value and what may be passed.

    Examples
    --------
    >>> from transformers import TrainingArguments
    >>> arguments = TrainingArguments("runs/doc", max_grad_norm=float("nan"))
    >>> check_fields(arguments)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: max_grad_norm is nan: pass a number in [0, ∞)
    """
    for name, (kind, optional) in _plain_fields(type(config)).items():
        value = getattr(config, name)
        if value is None and optional:
            continue
        if kind is bool:
            checked: Any = check_switch(name, value)
        elif kind is int:
            least, most = _WHOLE.get(name, (-1, _LARGEST))
            checked = check_whole(name, value, at_least=least, at_most=most)
        else:
            low = 0.0 if name in (*_NOT_NEGATIVE, *_BELOW_ONE, *_AT_MOST_ONE) else -math.inf
            high = 1.0 if name in (*_BELOW_ONE, *_AT_MOST_ONE) else math.inf
            checked = check_number(name, value, low, high, high_open=name in _BELOW_ONE)
        if type(value) not in (bool, int, float):
            object.__setattr__(config, name, checked)


@cache
def _plain_fields(config_class: type) -> dict[str, tuple[type, bool]]:
    """Fields of one plain type, and whether they may be None."""
    found = {}
    hints = get_type_hints(config_class)
    for field in fields(config_class):
        hint = hints[field.name]
        kinds = set(get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,))
        plain = kinds - {type(None)}
        if field.init and len(plain) == 1 and plain <= {bool, int, float}:
            # Some stock defaults are None under a plain annotation.
            found[field.name] = (plain.pop(), type(None) in kinds or field.default is None)
    return found


def refuse_label_smoothing(args: TrainingArguments, defense: str) -> None:
    """Refuse smoothed labels where a defence sets the loss: they would be ignored, and the card would name them.

    Raises
    ------
    InputError
    """
    if check_number("label_smoothing_factor", args.label_smoothing_factor, 0.0, 1.0):
        raise InputError(
            f"label_smoothing_factor is {args.label_smoothing_factor}: {defense} sets the training loss itself; leave "
            "it at 0, or let label smoothing be the defence instead"
        )
