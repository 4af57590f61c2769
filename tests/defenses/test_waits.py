"""What a step does not wait for is said later all the same; on a GPU torch's profiler counts what it waits for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny_models import tiny_data
from transformers import TrainerCallback

from hf_privacy.defenses import AdversarialConfig, AdversarialTrainer, PrivacyTrainer
from hf_privacy.defenses.base.weight_motion import _fingerprints
from hf_privacy.errors import InputError
from hf_privacy.models.deferred import DeferredChecks, require


class SpoilWeights(TrainerCallback):
    """A weight that is not a number, after some step."""

    def __init__(self, after: int) -> None:
        self.after, self.last = after, 0

    def on_step_end(self, args, state, control, *, model, **kwargs) -> None:
        self.last = state.global_step
        if state.global_step == self.after:
            next(model.parameters()).data.fill_(math.nan)


@pytest.mark.parametrize(
    ("told_at", "arguments"),
    [
        (4, {"logging_strategy": "steps", "logging_steps": 4}),
        (4, {"save_strategy": "steps", "save_steps": 4}),
        (6, {}),  # the end of an epoch
    ],
)
def test_an_attack_that_cannot_be_followed_is_told_before_anything_is_made_of_it(
    told_at, arguments, make_args, model_of
):
    args = make_args(AdversarialConfig, epsilon=0.1, num_train_epochs=2, per_device_train_batch_size=4, **arguments)
    spoiled = SpoilWeights(after=1)
    trainer = AdversarialTrainer(
        model_of("tabular"), args, train_dataset=tiny_data("tabular", 24), callbacks=[spoiled]
    )
    with pytest.raises(InputError, match="model has gradients that are not finite"):
        trainer.train()
    assert spoiled.last == told_at
    assert not list(Path(args.output_dir).glob("checkpoint-*"))


def test_checks_that_wait_tell_the_first_thing_that_did_not_hold():
    def say(value):
        return ValueError(f"seen {value}")

    checks = DeferredChecks()
    with checks.deferred():
        for value in (1.0, 5.0, 7.0, 2.0):
            require(torch.tensor(value) < 4, say, torch.tensor(value))
    require(torch.tensor(True), say, torch.tensor(0.0))  # outside, at once
    with pytest.raises(ValueError, match="seen 9"):
        require(torch.tensor(False), say, torch.tensor(9.0))
    with pytest.raises(ValueError, match=r"seen 5\.0"):
        checks.read()
    checks.read()


@pytest.mark.parametrize("arguments", [{"logging_strategy": "steps", "logging_steps": 2}, {}])
def test_a_loss_that_is_not_finite_is_warned_of_once(arguments, make_args, model_of):
    args = make_args(num_train_epochs=2, per_device_train_batch_size=4, **arguments)
    trainer = PrivacyTrainer(
        model_of("tabular"), args, train_dataset=tiny_data("tabular", 16), callbacks=[SpoilWeights(after=1)]
    )
    with pytest.warns(UserWarning, match="the training loss is not finite by step") as told:
        trainer.train()
    assert sum("not finite" in str(warning.message) for warning in told) == 1


def test_fingerprints_that_are_read_at_once_are_those_of_each_tensor():
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([-0.5], dtype=torch.float16)}
    assert _fingerprints(tensors) == {"a": (15.0, 55.0), "b": (-0.5, 0.25)}
    assert _fingerprints({}) == {}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
@pytest.mark.parametrize("name", ["tabular", "timm"])
def test_a_step_on_a_gpu_waits_for_nothing(name, make_args, model_of):
    class Profiled(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs) -> None:
            if state.global_step == 3:
                kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
                self.profiler = torch.profiler.profile(activities=kinds)
                self.profiler.start()
            if state.global_step == 8:
                self.profiler.stop()

    seen = Profiled()
    args = make_args(max_steps=9, per_device_train_batch_size=4, use_cpu=False)
    PrivacyTrainer(model_of(name), args, train_dataset=tiny_data(name, 48).subset(range(48)), callbacks=[seen]).train()
    waits = {"cudaStreamSynchronize", "cudaDeviceSynchronize", "aten::_local_scalar_dense", "aten::nonzero"}
    counted = [event.name for event in seen.profiler.events() if event.name in waits]
    # Starting and stopping the profiler waits for the device.
    assert len(counted) <= 2
