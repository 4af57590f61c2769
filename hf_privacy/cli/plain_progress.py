"""Training progress without a terminal: a line now and then in place of a bar."""

from __future__ import annotations

import sys
import time

from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_callback import ProgressCallback
from transformers.utils import logging

from hf_privacy.progress import clock

SECONDS_BETWEEN_LINES = 10.0


class PlainProgressCallback(TrainerCallback):
    """Steps done, loss and time left, at most every ten seconds."""

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self._start = self._last = time.monotonic()
        self._first_step = state.global_step

    def on_step_end(self, args, state, control, **kwargs) -> None:
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES or not state.is_world_process_zero:
            return
        self._last = now
        left = (now - self._start) / (state.global_step - self._first_step) * (state.max_steps - state.global_step)
        loss = next((f", loss {entry['loss']}" for entry in reversed(state.log_history) if "loss" in entry), "")
        print(
            f"training: {state.global_step}/{state.max_steps} steps{loss}, {clock(left)} left",
            file=sys.stderr,
            flush=True,
        )


def show_progress(trainer: Trainer) -> None:
    """Bars on a terminal, plain lines elsewhere."""
    if sys.stderr.isatty():
        return
    logging.disable_progress_bar()
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(PlainProgressCallback)
