"""What models need not hold twice: many adapters on one base, and what a model was beside what it becomes."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def on_the_same_weights(model: Module) -> Module:
    """The model again: modules of its own, which hold the very weights and buffers of the first.

    For what is frozen, such as the base of an adapter: what attaches to one copy does not show on another, and a
    further copy takes no memory. A weight changed in place changes in all of them.

    Examples
    --------
    >>> first = nn.Sequential(nn.Linear(2, 2))
    >>> second = on_the_same_weights(first)
    >>> second is first, second[0] is first[0], second[0].weight is first[0].weight
    (False, False, True)
    """
    shared = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    return copy.deepcopy(model, shared)


def share_frozen(model: nn.Module, other: nn.Module) -> None:
    """Let the model hold the frozen weights of another in the place of its own, where these are equal to the bit.

    Examples
    --------
    >>> one, other = (nn.Linear(1, 1, bias=False).requires_grad_(False) for _ in range(2))
    >>> _ = other.weight.fill_(2.0), one.weight.fill_(2.0)
    >>> share_frozen(one, other)
    >>> one.weight.data_ptr() == other.weight.data_ptr()
    True
    """
    held = dict(other.named_parameters())
    for name, weight in model.named_parameters():
        theirs = held.get(name)
        if weight.requires_grad or theirs is None or theirs.requires_grad or theirs.data_ptr() == weight.data_ptr():
            continue
        if (weight.shape, weight.dtype, weight.device) == (theirs.shape, theirs.dtype, theirs.device) and torch.equal(
            weight, theirs
        ):
            weight.data = theirs.data


def beside(model: Module, *, also: Iterable[str] = ()) -> Module:
    """A copy of the model to go another way than it: of what is trained; what is frozen, as a base is, both hold.

    Parameters
    ----------
    model : torch.nn.Module
    also : iterable of str
        Names of frozen parameters that are copied too.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    >>> other = beside(model)
    >>> other[0].weight is model[0].weight, other[1].weight is model[1].weight, other[1].weight.requires_grad
    (True, False, True)
    >>> beside(model, also=["0.weight"])[0].weight is model[0].weight
    False
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    copied = {id(named[name]) for name in also if name in named}
    shared = {id(weight): weight for weight in named.values() if not weight.requires_grad and id(weight) not in copied}
    return copy.deepcopy(model, shared)
