"""Many adapters on one base that is in memory once."""

from __future__ import annotations

import copy
from typing import TypeVar

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
