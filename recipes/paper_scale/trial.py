"""What a training costs here: ten seconds of it."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace

from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_callback import ProgressCallback

from hf_privacy.recipe import Experiment

SECONDS = 10.0
_FIRST_STEPS = 3  # which load and compile


class _Stopwatch(TrainerCallback):
    """Times the steps and ends the training when the time is up."""

    def __init__(self) -> None:
        self.started = 0.0
        self.times: list[float] = []

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.started = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.times.append(time.perf_counter())
        if self.times[-1] - self.started > SECONDS:
            control.should_training_stop = True


def training_seconds(experiment: Experiment) -> float:
    """What one training of the experiment takes, by its first steps, with a second phase where it has one."""
    recipe = experiment.recipe
    with tempfile.TemporaryDirectory() as folder:
        whole = experiment.trainer(output_dir=folder)
        args = whole.args
        per_step = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
        per_epoch = max(1, -(-len(whole.train_dataset) // per_step))
        first = args.max_steps if args.max_steps > 0 else max(1, round(args.num_train_epochs * per_epoch))
        steps = whole.steps_of_both_phases(first, per_epoch)
        # The weights are rewound between the phases: a training that is stopped before has only the first.
        tried = replace(experiment, recipe=replace(recipe, critical_weight_rewind=None, training_dynamics=None))
        trainer, watch = tried.trainer(output_dir=folder), _Stopwatch()
        for callback in (ProgressCallback, PrinterCallback):
            trainer.remove_callback(callback)
        trainer.add_callback(watch)
        trainer.train()
    skipped = min(_FIRST_STEPS, len(watch.times) - 1)
    begun = watch.times[skipped - 1] if skipped else watch.started
    return steps * (watch.times[-1] - begun) / (len(watch.times) - skipped)
