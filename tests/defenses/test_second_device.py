"""Every defence on a device that is not the CPU: the CPU's weights, and no two devices in one operation."""

from __future__ import annotations

import copy

import pytest
import torch

from hf_privacy.defenses import (
    AdversarialConfig,
    AdversarialTrainer,
    CCLConfig,
    CCLTrainer,
    ConfidencePenaltyConfig,
    ConfidencePenaltyTrainer,
    CriticalWeightRewindCallback,
    DeMemConfig,
    DeMemTrainer,
    HAMPConfig,
    HAMPTrainer,
    LabelSmoothingConfig,
    LabelSmoothingTrainer,
    RelaxLossConfig,
    RelaxLossTrainer,
)
from hf_privacy.defenses.hamp.outputs import defended_model

ATTACK = {"epsilon": 0.05, "n_steps": 2}
DEFENSES = {
    "adversarial": (AdversarialTrainer, AdversarialConfig, {**ATTACK, "objective": "mart", "awp_gamma": 0.01}),
    "demem": (DeMemTrainer, DeMemConfig, {**ATTACK, "control": "class_variance"}),
    "relax_loss": (RelaxLossTrainer, RelaxLossConfig, {"alpha": 2.0}),
    "hamp": (HAMPTrainer, HAMPConfig, {}),
    "ccl": (CCLTrainer, CCLConfig, {}),
    "confidence_penalty": (ConfidencePenaltyTrainer, ConfidencePenaltyConfig, {}),
    "label_smoothing": (LabelSmoothingTrainer, LabelSmoothingConfig, {}),
    "cwrf": (CCLTrainer, CCLConfig, {}),
}


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defence_does_not_depend_on_where_the_model_lies(name, make_args, model_of, data_of, second_device):
    trainer_class, config_class, settings = DEFENSES[name]
    start = model_of("tabular")

    def trained(model):
        callbacks = [] if name != "cwrf" else [
            CriticalWeightRewindCallback(reference_dataset=data_of("tabular", 6, seed=6), fraction=0.2)
        ]  # fmt: skip
        arguments = {"num_train_epochs": 2, "optim": "adamw_torch", "max_grad_norm": 0.0, **settings}
        args = make_args(config_class, **arguments)
        trainer = trainer_class(model, args, train_dataset=data_of("tabular", 12), callbacks=callbacks)
        trainer.train()
        return {key: parameter.detach().cpu() for key, parameter in trainer.model.named_parameters()}

    here = trained(copy.deepcopy(start))
    with second_device(training=True) as device:
        there = trained(copy.deepcopy(start).to(device))
    assert any(not torch.equal(values, start.get_parameter(key)) for key, values in here.items())
    for key, values in here.items():
        torch.testing.assert_close(there[key], values)


def test_hamps_answers_do_not_depend_on_where_the_model_lies(model_of, data_of, second_device):
    data, start = data_of("tabular", 8), model_of("tabular").eval()

    def answers(model, device):
        defended = defended_model(model, data, n_random_inputs=20)
        return defended(features=data.column("features").to(device)).logits.detach().cpu()

    here = answers(copy.deepcopy(start), torch.device("cpu"))
    with second_device() as device:
        there = answers(copy.deepcopy(start).to(device), device)
    torch.testing.assert_close(there, here)
