"""Any callback may ask for a second phase: its steps, its learning rate, and what the trainer says of it."""

from __future__ import annotations

import math

import pytest
from torch.optim.lr_scheduler import LambdaLR
from transformers import TrainerCallback

from hf_privacy.defenses import DPConfig, DPTrainer, PrivacyConfig, PrivacyTrainer, SecondPhase
from hf_privacy.errors import InputError


class Halve(TrainerCallback):
    """Halves all weights after the training, and lets the trainer go on for one epoch."""

    def __init__(self, unaccounted=None):
        self.unaccounted = unaccounted
        self.rates, self.planned = [], []

    def second_phase_steps(self, first_steps, steps_per_epoch):
        return steps_per_epoch

    def on_phases_planned(self, first_steps, second_steps):
        self.planned.append((first_steps, second_steps))

    def check_run(self, args, model, dataset):
        if args.seed == 13:
            raise InputError("seed is 13: pass a lucky one")

    def describe_defense(self, host):
        return {**host, "name": f"{host['name']}+halved", "parameters": {**host["parameters"], "share": 0.5}}

    def on_step_begin(self, args, state, control, *, model, optimizer, **kwargs):
        self.rates.append(optimizer.param_groups[0]["lr"])
        if state.global_step == self.planned[-1][0]:
            self.norm = sum(float(p.detach().norm()) for p in model.parameters())
            for parameter in model.parameters():
                parameter.data.mul_(0.5)
            self.halved = sum(float(p.detach().norm()) for p in model.parameters())


@pytest.fixture
def make_trainer(make_args, model_of, data_of):
    def make(*callbacks, kind=PrivacyTrainer, **arguments):
        settings = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 0.1, **arguments}
        args = make_args(kind.config_class, **settings)
        return kind(model_of("tabular"), args, train_dataset=data_of("tabular", 12), callbacks=list(callbacks))

    return make


def test_the_run_goes_on_for_as_long_as_the_callback_asks(make_trainer):
    halve = Halve()
    trainer = make_trainer(halve, lr_scheduler_type="linear")
    assert isinstance(halve, SecondPhase)
    assert trainer.second_phase is halve
    assert trainer.steps_of_both_phases(6, 3) == 9
    assert trainer.train().global_step == 9
    assert halve.planned == [(6, 3)]
    assert halve.halved == pytest.approx(halve.norm / 2)
    cosine = [0.05 * (1 + math.cos(math.pi * step / 3)) for step in range(3)]
    assert halve.rates == pytest.approx([0.1 * (1 - step / 6) for step in range(6)] + cosine)


def test_without_such_a_callback_all_is_as_ever(make_trainer):
    trainer = make_trainer(TrainerCallback())
    assert trainer.second_phase is None
    assert trainer.train().global_step == 6


def test_the_report_and_the_check_before_training_ask_the_callback(make_trainer):
    described = make_trainer(Halve()).describe_defense()
    assert described == {"name": "none+halved", "parameters": {"share": 0.5}, "paper": None}
    make_trainer(Halve()).check_run()
    with pytest.raises(InputError, match="seed is 13"):
        make_trainer(Halve(), seed=13).check_run()


def test_two_phases_of_fine_tuning_are_refused_and_so_is_a_schedule_that_cannot_begin_again(make_trainer):
    with pytest.raises(InputError, match="2 callbacks ask for a second phase of training, Halve and Halve: pass one"):
        make_trainer(Halve(), Halve()).train()
    trainer = make_trainer(Halve())
    trainer.create_optimizer()
    trainer.lr_scheduler = LambdaLR(trainer.optimizer, lambda step: 1.0)
    with pytest.raises(InputError, match="the second phase of Halve starts the schedule again, so set lr_scheduler"):
        trainer.train()


def test_a_guarantee_counts_both_phases_and_is_lost_by_a_look_that_no_noise_hides(make_trainer):
    noise = {"kind": DPTrainer, "noise_multiplier": 1.0, "per_device_train_batch_size": 3}
    alone, both = make_trainer(**noise), make_trainer(Halve(), **noise)
    assert both.privacy_spent()["epsilon"] > alone.privacy_spent()["epsilon"]
    with pytest.warns(UserWarning, match="it looks at every member"):
        looking = make_trainer(Halve("it looks at every member"), **noise)
    assert looking.privacy_spent() is None


def test_every_field_of_ones_own_config_is_reported_and_the_class_gives_the_name(make_trainer):
    from dataclasses import dataclass, field

    @dataclass
    class OwnConfig(PrivacyConfig):
        weight: float = 0.25
        layers: tuple = ("a", 2)
        momentum: float = 0.5
        of_a_kind: object = DPConfig
        unseen: str = field(default="a secret", repr=False)

    class OwnTrainer(PrivacyTrainer):
        config_class = OwnConfig

    described = make_trainer(kind=OwnTrainer).describe_defense()
    assert described["name"] == "OwnTrainer"
    assert described["parameters"] == {
        "momentum": 0.5,
        "weight": 0.25,
        "layers": ["a", 2],
        "of_a_kind": "type",
    }
