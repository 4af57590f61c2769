"""A training that is killed on its way, to be gone on with from its checkpoint."""

from __future__ import annotations

from transformers import TrainerCallback


class KilledError(Exception):
    """What stands for the signal."""


class KillAt(TrainerCallback):
    """Dies in front of an optimizer step, or at the end of the epoch that a step ends."""

    def __init__(self, step: int | None = None, *, epoch_end: int | None = None) -> None:
        self.step, self.epoch_end = step, epoch_end

    def on_step_begin(self, args, state, control, **kwargs):
        """Raise in front of the step."""
        if state.global_step == self.step:
            raise KilledError

    def on_epoch_end(self, args, state, control, **kwargs):
        """Raise where the epoch ends with the step."""
        if state.global_step == self.epoch_end:
            raise KilledError
