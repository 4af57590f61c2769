"""What a language model said of a row before it was trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftModel

from hf_privacy.models import bare_model, base_of, beside, evaluation_mode


class StartingModel:
    """The model that a training begins from: its adapter off, without a second copy; else a copy of its start.

    Made with the trainer, before a checkpoint to go on from is loaded: a resumed run has the same.

    Parameters
    ----------
    model : torch.nn.Module
        Not trained yet.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> starting_model, before = StartingModel(model), model.weight.item()
    >>> _ = model.weight.data.add_(1.0)
    >>> with starting_model(model) as start:
    ...     start.weight.item() == before
    True
    """

    def __init__(self, model: torch.nn.Module) -> None:
        bare = bare_model(model)
        self._copy = None if isinstance(bare, PeftModel) else beside(bare).eval().requires_grad_(False)

    @contextmanager
    def __call__(self, model: torch.nn.Module) -> Iterator[torch.nn.Module]:
        """Inside, the starting model of the one in training: for evaluation, without gradients."""
        with torch.no_grad():
            if self._copy is not None:
                yield self._copy.to(next(model.parameters()).device)
                return
            bare = bare_model(model)
            with base_of(bare) as base, evaluation_mode(bare):
                yield base
