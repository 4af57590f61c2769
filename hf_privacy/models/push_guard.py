"""A loaded or trained model's own `push_to_hub` refuses and names the push that passes the gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from transformers import PreTrainedTokenizerBase
from transformers.utils import PushToHubMixin

from hf_privacy.errors import InputError

Pushable = TypeVar("Pushable")
# `save_pretrained(push_to_hub=True)` sends its files with the second.
_METHODS = ("push_to_hub", "_upload_modified_files")


def guard_push(thing: Pushable) -> Pushable:
    """Make `push_to_hub` of a model refuse, and that of every model within it; nothing else of it changes.

    transformers' own method makes a repository, public unless ``private=True``, and sends weights that no report
    speaks of. Instances are guarded, not classes: models that were not loaded or trained with this package push as
    ever. A copy of a guarded model is guarded too.

    Parameters
    ----------
    thing : model or tokenizer
        Anything else is left alone: image processors write all their attributes into their configuration.

    Returns
    -------
    model or tokenizer
        The same object.

    See Also
    --------
    allow_unguarded_push : takes the guard away.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = guard_push(TabularMLPForClassification(TabularMLPConfig(input_size=4, num_labels=2)))
    >>> model.push_to_hub("ann/model")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: push_to_hub of a model ...
    """
    for part in _pushable(thing):
        for name in _METHODS:
            setattr(part, name, _refuse)
    return thing


def allow_unguarded_push(thing: Pushable) -> Pushable:
    """Give a model, and every model within it, transformers' own `push_to_hub` back, which passes no gate."""
    for part in _pushable(thing):
        for name in _METHODS:
            vars(part).pop(name, None)
    return thing


_GUARDED = (torch.nn.Module, PreTrainedTokenizerBase)


def _pushable(thing: Any) -> Iterator[PushToHubMixin]:
    parts = thing.modules() if isinstance(thing, torch.nn.Module) else [thing]
    return (part for part in parts if isinstance(part, PushToHubMixin) and isinstance(part, _GUARDED))


def _refuse(*_: Any, **__: Any) -> None:
    raise InputError(
        "push_to_hub of a model or tokenizer sends it past the gate, to a repository that is public by default: push "
        "with PrivacyTrainer.push_to_hub, hf_privacy.reports.push_folder(folder, repo_id) or `hf-privacy push`; to do "
        "without gate and report, call hf_privacy.models.allow_unguarded_push(model) first"
    )
