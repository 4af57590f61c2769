"""Traps 9 and 10: a training that moves no weight does not end in a report."""

from __future__ import annotations

import warnings

import pytest
import torch
from transformers import TrainerCallback

from hf_privacy.defenses import PrivacyTrainer, WeightMotionCallback, WeightMotionError


class StepCounter(TrainerCallback):
    def __init__(self):
        self.steps = 0

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.steps += 1


def test_trap_10_a_frozen_model_is_refused_before_the_first_step(make_args, model_of, data_of):
    model = model_of("tabular").requires_grad_(False)
    with pytest.raises(WeightMotionError, match="no trainable weights"):
        PrivacyTrainer(model, make_args(), train_dataset=data_of("tabular")).train()


def test_trap_10_an_optimizer_that_holds_other_weights_stops_after_the_first_step(make_args, model_of, data_of):
    stranger = torch.nn.Parameter(torch.zeros(1))
    counter = StepCounter()
    trainer = PrivacyTrainer(
        model_of("tabular"),
        make_args(num_train_epochs=3),
        train_dataset=data_of("tabular"),
        optimizers=(torch.optim.SGD([stranger], lr=0.1), None),
        callbacks=[counter],
    )
    with pytest.raises(WeightMotionError, match="after step 1 none of the 4 trainable tensors has moved"):
        trainer.train()
    assert counter.steps == 1


def test_trap_10_gradients_that_never_arrive_stop_after_the_first_step(make_args, model_of, data_of):
    class Detached(PrivacyTrainer):
        def training_loss(self, model, inputs):
            outputs = self.forward_without_labels(model, inputs)
            return 0.0 * outputs["logits"].sum(), outputs

    args = make_args(optim="sgd")
    with pytest.raises(WeightMotionError, match="after step 1"):
        Detached(model_of("tabular"), args, train_dataset=data_of("tabular")).train()


@pytest.mark.parametrize(
    "arguments",
    [{"learning_rate": 0.0}, {"max_steps": 1, "warmup_steps": 1, "lr_scheduler_type": "linear"}],
    ids=["none", "a warm-up as long as the training"],
)
def test_trap_10_a_learning_rate_of_zero_does_not_end_well(arguments, make_args, model_of, data_of):
    with pytest.raises(WeightMotionError, match="the learning rate was 0 at every step, so nothing was learnt: short"):
        PrivacyTrainer(model_of("tabular"), make_args(**arguments), train_dataset=data_of("tabular")).train()


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_an_adapter_trains_though_its_first_step_moves_only_b(name, make_args, lora_model_of, data_of):
    model = lora_model_of(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items() if "lora_" in key}
    args = make_args(max_steps=1, optim="sgd", learning_rate=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # A has not moved yet, which the end of a one-step run warns of
        PrivacyTrainer(model, args, train_dataset=data_of(name)).train()
    moved = {key for key, tensor in before.items() if not torch.equal(tensor, model.state_dict()[key])}
    assert moved
    assert all("lora_B" in key for key in moved)


def test_a_warm_up_from_zero_is_no_error(make_args, model_of, data_of):
    args = make_args(warmup_steps=3, num_train_epochs=4, lr_scheduler_type="linear", per_device_train_batch_size=8)
    PrivacyTrainer(model_of("tabular"), args, train_dataset=data_of("tabular")).train()


def test_trap_9_tensors_that_never_moved_are_named_in_a_warning(make_args, model_of, data_of):
    class PartlyDetached(PrivacyTrainer):
        def training_loss(self, model, inputs):
            model.layers[0].weight.requires_grad_(True)
            outputs = self.forward_without_labels(model, {**inputs, "features": torch.zeros_like(inputs["features"])})
            return torch.nn.functional.cross_entropy(outputs["logits"], inputs["labels"]), outputs

    # Features of zero give the first layer's weight a gradient of zero.
    args = make_args(optim="sgd", num_train_epochs=2)
    with pytest.warns(UserWarning, match=r"1 of 4 trainable tensors never moved: layers\.0\.weight"):
        PartlyDetached(model_of("tabular"), args, train_dataset=data_of("tabular")).train()


def test_full_motion_gives_no_warning(make_args, model_of, data_of):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        PrivacyTrainer(model_of("tabular"), make_args(), train_dataset=data_of("tabular")).train()


def test_a_step_that_mixed_precision_skipped_is_not_judged(model_of):
    # fp16 starts with a loss scale that often overflows: the optimizer skips the first steps, and that is right.
    class Scheduler:
        def get_last_lr(self):
            return [0.1]

    class Optimizer:
        step_was_skipped = True

    class State:
        global_step = 1

    model, callback, optimizer = model_of("tabular"), WeightMotionCallback(), Optimizer()
    shared = {"model": model, "lr_scheduler": Scheduler(), "optimizer": optimizer}
    callback.on_train_begin(None, State(), None, **shared)
    callback.on_step_begin(None, State(), None, **shared)
    callback.on_step_end(None, State(), None, **shared)
    optimizer.step_was_skipped = False
    callback.on_step_begin(None, State(), None, **shared)
    with pytest.raises(WeightMotionError):
        callback.on_step_end(None, State(), None, **shared)
