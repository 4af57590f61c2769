"""How a training shows its progress: a bar on a terminal, a line now and then elsewhere; the loss in words."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.trainer_callback import ProgressCallback
from transformers.utils import logging

from hf_privacy.progress import SECONDS_BETWEEN_LINES, clock, is_silent, shows_bars

_SHOWN = ("loss", "eval_loss", "learning_rate", "grad_norm", "epoch")  # the first of what a log may hold


def in_words(logs: Mapping[str, Any]) -> str:
    """What a trainer logs, as it is read.

    Examples
    --------
    >>> in_words({"loss": "0.7834", "learning_rate": 0.001, "epoch": 1.0, "total_flos": 12})
    'loss 0.783, learning rate 0.001, epoch 1'
    >>> in_words({"train_runtime": 3.2, "train_loss": 0.5})
    ''
    """
    found = []
    for name in _SHOWN:
        if name in logs:
            try:
                found.append(f"{name.replace('_', ' ')} {float(logs[name]):.3g}")
            except (TypeError, ValueError):  # a tracker's own
                continue
    return ", ".join(found)


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
        loss = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), None)
        words = "" if loss is None else f", {in_words({'loss': loss})}"
        print(
            f"training: {state.global_step}/{state.max_steps} steps{words}, {clock(left)} left",
            file=sys.stderr,
            flush=True,
        )


class BarCallback(ProgressCallback):
    """The trainer's own bar, with what is logged in words above it."""

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        words = in_words(logs or {})
        if state.is_world_process_zero and self.training_bar is not None and words:
            self.training_bar.write(words, file=sys.stderr)


def show_progress(trainer: Trainer) -> None:
    """Bars on a terminal, unless ``disable_tqdm`` asks for none; lines elsewhere; nothing where it is silenced."""
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    bars = shows_bars() and not trainer.args.disable_tqdm and not is_silent()
    if not bars:
        logging.disable_progress_bar()
    if not is_silent():
        trainer.add_callback(BarCallback if bars else PlainProgressCallback)
