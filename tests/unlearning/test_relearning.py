"""Relearning: steps on the forget set until its loss is the original's again."""

from __future__ import annotations

import copy

import pytest
import torch

from hf_privacy.defenses import PrivacyConfig
from hf_privacy.errors import InputError
from hf_privacy.unlearning import Relearning, mean_loss, relearned, relearning_steps


@pytest.fixture
def args(make_args):
    return make_args(PrivacyConfig, learning_rate=0.2)


def scrambled(model: torch.nn.Module) -> torch.nn.Module:
    model = copy.deepcopy(model)
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def test_a_model_that_forgot_nothing_needs_no_step(trained, sets, args):
    target = mean_loss(trained, sets["forget_dataset"])
    found = relearning_steps(trained, sets["forget_dataset"], args=args, target_loss=target, max_steps=5)
    assert found == Relearning(0, True)


def test_a_model_without_the_knowledge_needs_many_steps_and_one_that_kept_most_of_it_few(trained, sets, args):
    forget = sets["forget_dataset"]
    target = mean_loss(trained, forget)
    kept = copy.deepcopy(trained)
    with torch.no_grad():
        for parameter in kept.parameters():
            parameter.add_(0.02 * parameter.std() * torch.randn(parameter.shape, generator=torch.manual_seed(1)))
    settings = {"args": args, "target_loss": max(target, 0.01), "max_steps": 300}
    few = relearning_steps(kept, forget, **settings)
    many = relearning_steps(scrambled(trained), forget, **settings)
    assert few.regained
    assert many.regained
    assert few.steps < many.steps


def test_the_cap_ends_what_takes_too_long(trained, sets, args):
    found = relearning_steps(scrambled(trained), sets["forget_dataset"], args=args, target_loss=0.0, max_steps=3)
    assert found == Relearning(3, False)


def test_the_model_and_its_modes_stay_as_they_are(trained, sets, args):
    trained.train()
    before = copy.deepcopy(trained.state_dict())
    relearning_steps(trained, sets["retain_dataset"], args=args, target_loss=0.0, max_steps=2)
    assert trained.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"max_steps": 0}, "max_steps is 0"), ({"target_loss": float("nan")}, "target_loss is nan")],
)
def test_bad_arguments_are_refused(arguments, message, trained, sets, args):
    with pytest.raises(InputError, match=message):
        relearning_steps(
            trained, sets["forget_dataset"], args=args, **{"target_loss": 0.1, "max_steps": 3, **arguments}
        )


def test_relearned_is_a_copy_that_was_trained(trained, sets, args):
    model = scrambled(trained)
    before = copy.deepcopy(model.state_dict())
    found = relearned(model, sets["forget_dataset"], args=args)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert mean_loss(found, sets["forget_dataset"]) < mean_loss(model, sets["forget_dataset"])
