"""The undefended baseline on causal language models: which mean its loss is, however steps are cut into batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from small_training import QUIET
from tiny_language import language_model, token_rows
from torch.nn import functional as F

from hf_privacy.defenses import (
    AdversarialConfig,
    AdversarialTrainer,
    HAMPConfig,
    HAMPTrainer,
    PrivacyConfig,
    PrivacyTrainer,
)
from hf_privacy.errors import InputError

SGD = {**QUIET, "optim": "sgd", "momentum": 0.0, "learning_rate": 0.1, "max_grad_norm": 0.0, "num_train_epochs": 1}


def trainer(tmp_path, model, *, batch_size=8, accumulation=1, **arguments) -> PrivacyTrainer:
    sizes = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": accumulation}
    args = PrivacyConfig(str(tmp_path), **{**SGD, **sizes, **arguments})
    return PrivacyTrainer(model, args, train_dataset=token_rows(), eval_dataset=token_rows(seed=1))


def movement(tmp_path, model, **arguments) -> torch.Tensor:
    """What one epoch adds to the trained weights."""
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trainer(tmp_path, model, **arguments).train()
    return torch.cat([(weight - start[name]).flatten() for name, weight in model.named_parameters()]).detach()


def naive_step(model, *, average) -> torch.Tensor:
    """The same step by a bare loop over rows without padding."""
    losses = []
    dataset = token_rows()
    for row in range(len(dataset)):
        batch = dataset[row]
        length = int(batch["attention_mask"].sum())
        logits = model(input_ids=batch["input_ids"][None, :length]).logits[0, :-1]
        targets = batch["labels"][1:length]
        losses.append(F.cross_entropy(logits[targets >= 0], targets[targets >= 0], reduction="none"))
    loss = torch.cat(losses).mean() if average == "token" else torch.stack([part.mean() for part in losses]).mean()
    loss.backward()
    gradients = [
        torch.zeros_like(weight) if weight.grad is None else weight.grad for _, weight in model.named_parameters()
    ]
    return -0.1 * torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("average", ["token", "example"])
def test_a_step_is_the_bare_loops_however_it_is_cut(kind, lora, average, tmp_path):
    make = {"kind": kind, "lora": lora, "spread": 0.05}
    wanted = naive_step(language_model(**make), average=average)
    if kind == "gpt2":  # its dropout
        for cut in ((8, 1), (2, 4)):
            model = language_model(**make)
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
            found = movement(tmp_path, model, batch_size=cut[0], accumulation=cut[1], loss_average=average)
            torch.testing.assert_close(found, wanted, atol=2e-6, rtol=1e-4)
        return
    for cut in ((8, 1), (2, 4), (3, 3)):
        found = movement(
            tmp_path, language_model(**make), batch_size=cut[0], accumulation=cut[1], loss_average=average
        )
        torch.testing.assert_close(found, wanted, atol=2e-6, rtol=1e-4)
    other = naive_step(language_model(**make), average="example" if average == "token" else "token")
    assert (other - wanted).abs().max() > 1e-4


def test_tokens_are_what_the_undefended_baseline_averages_over_and_it_says_so(tmp_path):
    plain = trainer(tmp_path, language_model("llama"))
    assert plain.loss_average == "token"
    assert plain.hyperparameters()["loss_average"] == "token"
    assert trainer(tmp_path, language_model("llama"), loss_average="example").loss_average == "example"


@pytest.mark.parametrize("average", ["token", "example"])
def test_the_evaluation_loss_is_the_same_for_any_batch_size(average, tmp_path):
    found = [
        trainer(
            tmp_path, language_model("llama", spread=0.1), loss_average=average, per_device_eval_batch_size=size
        ).evaluate()
        for size in (1, 3, 8)
    ]
    # The stock loss of the model on everything at once is the mean over its tokens, which perplexity is always of.
    batch = token_rows(seed=1).__getitems__(range(8))
    over_tokens = language_model("llama", spread=0.1)(**batch).loss.item()
    for metrics in found:
        assert metrics["eval_loss"] == pytest.approx(found[0]["eval_loss"], rel=1e-5)
        assert metrics["eval_perplexity"] == pytest.approx(math.exp(over_tokens), rel=1e-4)
    assert (found[0]["eval_loss"] == pytest.approx(over_tokens, rel=1e-4)) == (average == "token")


def test_a_metric_of_the_users_own_gets_the_models_output(tmp_path):
    seen = []
    args = PrivacyConfig(str(tmp_path), **SGD)
    own = PrivacyTrainer(
        language_model("llama"),
        args,
        train_dataset=token_rows(),
        eval_dataset=token_rows(seed=1),
        compute_metrics=lambda prediction: seen.append(prediction.predictions.shape) or {},
    )
    own.evaluate()
    assert seen == [(8, 12, 61)]


def test_predictions_are_the_models_logits_and_labels(tmp_path):
    made = trainer(tmp_path, language_model("llama"), per_device_eval_batch_size=8)
    found = made.predict(token_rows(seed=1))
    batch = token_rows(seed=1).__getitems__(range(8))
    wanted = made.model(**{name: values for name, values in batch.items() if name != "labels"}).logits.detach()
    np.testing.assert_allclose(found.predictions, wanted.numpy(), atol=1e-5)
    assert found.metrics["test_loss"] == pytest.approx(made.evaluate()["eval_loss"], rel=1e-5)


def test_a_mean_that_task_or_defence_does_not_have_is_refused(tmp_path, make_args, model_of, data_of):
    with pytest.raises(InputError, match="loss_average is 'tokens': pass 'token' or 'example'"):
        PrivacyConfig(str(tmp_path), loss_average="tokens")
    with pytest.raises(InputError, match="a classifier has one label"):
        PrivacyTrainer(model_of("tabular"), make_args(loss_average="token"), train_dataset=data_of("tabular"))


@pytest.mark.parametrize(("kind", "config"), [(HAMPTrainer, HAMPConfig), (AdversarialTrainer, AdversarialConfig)])
def test_a_defence_for_classes_refuses_a_language_model(kind, config, tmp_path):
    with pytest.raises(InputError, match=f"{kind.__name__} is for image-classification"):
        kind(language_model("llama"), config(str(tmp_path), **QUIET), train_dataset=token_rows())
