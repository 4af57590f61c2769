"""Weight rewinding and prediction-time parts on a device that is not the CPU; defences are in test_every_defense."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from second_device import assert_trains_alike
from tiny_language import language_model, token_rows

from hf_privacy.defenses import CCLConfig, CCLTrainer, CriticalWeightRewindCallback, PrivacyTrainer
from hf_privacy.defenses.hamp.outputs import defended_model


def test_rewinding_does_not_depend_on_where_the_model_lies(make_args, model_of, data_of):
    start = model_of("tabular")

    def trained(model):
        rewind = CriticalWeightRewindCallback(reference_dataset=data_of("tabular", 6, seed=6), fraction=0.2)
        args = make_args(CCLConfig, num_train_epochs=2, optim="adamw_torch", max_grad_norm=0.0)
        trainer = CCLTrainer(model, args, train_dataset=data_of("tabular", 12), callbacks=[rewind])
        trainer.train()
        return {key: parameter.detach().cpu() for key, parameter in trainer.model.named_parameters()}

    assert_trains_alike(start, trained)


@pytest.mark.parametrize("score", ["privacy_vulnerability", "magnitude", "random"])
def test_rewinding_an_adapters_components_does_not_either(score, make_args):
    start = get_peft_model(language_model("llama"), LoraConfig(target_modules="all-linear", task_type="CAUSAL_LM"))

    def trained(model):
        rewind = CriticalWeightRewindCallback(reference_dataset=token_rows(seed=6), fraction=0.2, score=score)
        args = make_args(num_train_epochs=2, optim="adamw_torch", max_grad_norm=0.0)
        trainer = PrivacyTrainer(model, args, train_dataset=token_rows(), callbacks=[rewind])
        trainer.train()
        return {key: parameter.detach().cpu() for key, parameter in trainer.model.named_parameters()}

    assert_trains_alike(start, trained)


def test_hamps_answers_do_not_depend_on_where_the_model_lies(model_of, data_of, second_device):
    data, start = data_of("tabular", 8), model_of("tabular").eval()

    def answers(model, device):
        defended = defended_model(model, data, n_random_inputs=20)
        return defended(features=data.column("features").to(device)).logits.detach().cpu()

    here = answers(copy.deepcopy(start), torch.device("cpu"))
    with second_device() as device:
        there = answers(copy.deepcopy(start).to(device), device)
    torch.testing.assert_close(there, here)
