"""Early stopping that reference models can mirror, and that stops where it would have when resumed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from killed import KillAt, KilledError
from tiny_language import language_model, token_rows
from transformers import EarlyStoppingCallback

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import EarlyStoppingConfig, EarlyStoppingTrainer, PrivacyTrainer, ValidationStopCallback
from hf_privacy.defenses.early_stopping.trainer import epochs_without_improvement
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.references import plan_references, recipe_hash, reference_trainer


def mlp():
    return TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[32], dropout=0.2, num_labels=3))


@pytest.fixture
def make_trainer(make_args, data_of):
    """Random labels, which validation rows gain nothing from: the validation loss soon rises."""

    def make(*, callbacks=(), validation_seed=5, **arguments):
        settings = {"num_train_epochs": 40, "per_device_train_batch_size": 4, "learning_rate": 0.05, **arguments}
        return EarlyStoppingTrainer(
            args=make_args(EarlyStoppingConfig, **settings),
            model_init=mlp,
            train_dataset=data_of("tabular", 12),
            validation_dataset=data_of("tabular", 9, seed=validation_seed),
            callbacks=list(callbacks),
        )

    return make


def validation_losses(trainer):
    return [entry["validation_loss"] for entry in trainer.state.log_history if "validation_loss" in entry]


def weights(trainer):
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.mark.parametrize("patience", [1, 3])
def test_training_stops_after_the_epochs_of_patience_without_a_lower_loss(patience, make_trainer, data_of):
    trainer = make_trainer(patience=patience)
    trainer.train()
    losses = validation_losses(trainer)
    assert len(losses) == trainer.state.epoch < 40
    assert trainer.state.global_step == 3 * len(losses)
    best = min(losses)
    assert losses.index(best) == len(losses) - 1 - patience
    with torch.no_grad():
        validation = data_of("tabular", 9, seed=5)
        logits = trainer.model.eval()(validation.column("features")).logits
    assert losses[-1] == pytest.approx(float(torch.nn.functional.cross_entropy(logits, validation.column("labels"))))


def test_a_loss_must_undercut_the_lowest_by_the_least_improvement():
    assert epochs_without_improvement([1.0, 0.8, 0.75, 0.6]) == 0
    assert epochs_without_improvement([1.0, 0.8, 0.75, 0.69], 0.1) == 0
    assert epochs_without_improvement([1.0, 0.8, 0.75, 0.71], 0.1) == 2
    assert epochs_without_improvement([1.0, 1.0, 1.0]) == 2
    assert epochs_without_improvement([]) == 0


def test_looking_at_the_validation_rows_changes_nothing_in_training(make_trainer, make_args, data_of):
    # Dropout draws what it would have drawn, and modes are put back.
    stopped = make_trainer(patience=40, num_train_epochs=3)
    stopped.train()
    settings = {"num_train_epochs": 3, "per_device_train_batch_size": 4, "learning_rate": 0.05}
    plain = PrivacyTrainer(model_init=mlp, args=make_args(**settings), train_dataset=data_of("tabular", 12))
    plain.train()
    assert torch.equal(weights(stopped), weights(plain))


@pytest.mark.parametrize(("save_steps", "kill_at"), [(3, 4), (3, 3), (2, 5)])
def test_trap_3_a_resumed_run_remembers_the_losses_and_stops_where_it_would_have(
    save_steps, kill_at, make_trainer, tmp_path
):
    saved = {"save_strategy": "steps", "save_steps": save_steps, "patience": 2}
    whole = make_trainer(output_dir=str(tmp_path / "whole"), **saved)
    whole.train()
    killed = make_trainer(output_dir=str(tmp_path / "killed"), callbacks=[KillAt(kill_at)], **saved)
    with pytest.raises(KilledError):
        killed.train()
    resumed = make_trainer(output_dir=str(tmp_path / "killed"), **saved)
    resumed.train(resume_from_checkpoint=True)
    assert validation_losses(resumed) == validation_losses(whole)
    assert resumed.state.global_step == whole.state.global_step > kill_at
    assert torch.equal(weights(resumed), weights(whole))


def test_training_again_starts_counting_anew(make_trainer):
    trainer = make_trainer()
    trainer.train()
    losses = validation_losses(trainer)
    trainer.train()
    assert validation_losses(trainer) == losses


def test_of_a_language_model_it_is_the_loss_over_all_tokens_of_the_validation_rows(make_args):
    rows = token_rows(seed=5)
    args = make_args(EarlyStoppingConfig, num_train_epochs=40, patience=2, learning_rate=0.02)
    trainer = EarlyStoppingTrainer(
        language_model("llama", spread=0.05), args, train_dataset=token_rows(), validation_dataset=rows
    )
    trainer.train()
    losses = validation_losses(trainer)
    assert 2 < len(losses) == trainer.state.epoch < 40
    assert losses.index(min(losses)) == len(losses) - 3
    with torch.no_grad():
        wanted = float(trainer.model.eval()(**rows.__getitems__(range(8))).loss)
    assert losses[-1] == pytest.approx(wanted, rel=1e-5)


# ---- references ----


def test_a_reference_stops_by_the_same_rule_on_the_same_rows(make_trainer, data_of, tmp_path):
    trainer = make_trainer(patience=2)
    trainer.train()
    clone = reference_trainer(trainer, data_of("tabular", 12, seed=8), seed=3, output_dir=tmp_path / "reference")
    clone.train()
    losses = validation_losses(clone)
    assert losses != validation_losses(trainer)
    assert epochs_without_improvement(losses) == 2
    assert len(losses) == clone.state.epoch < 40
    rules = [
        [callback for callback in t.callback_handler.callbacks if isinstance(callback, ValidationStopCallback)]
        for t in (trainer, clone)
    ]
    assert [len(rule) for rule in rules] == [1, 1]
    assert rules[0][0].validation_dataset is rules[1][0].validation_dataset  # shared, not copied for each reference


def test_the_rule_and_its_rows_are_part_of_the_recipe(make_trainer):
    plan = plan_references(np.arange(12) % 3, n_models=2)

    def hash_of(**settings):
        return recipe_hash(make_trainer(**settings), plan, dataset_fingerprint="d", pool_hash="p")

    base = hash_of()
    assert hash_of() == base
    for changed in ({"patience": 2}, {"min_improvement": 0.1}, {"validation_seed": 6}):
        assert hash_of(**changed) != base


def test_the_stock_callback_cannot_serve_reference_models(make_args, data_of, tmp_path):
    # The reason for a callback of our own: references evaluate nothing, and eval_dataset is the audit's non-members.
    args = make_args(eval_strategy="epoch", metric_for_best_model="eval_loss")
    target = PrivacyTrainer(
        model_init=mlp,
        args=args,
        train_dataset=data_of("tabular"),
        eval_dataset=data_of("tabular"),
        callbacks=[EarlyStoppingCallback()],
    )
    clone = reference_trainer(target, data_of("tabular"), seed=1, output_dir=tmp_path / "reference")
    with pytest.raises(AssertionError):
        clone.train()


# ---- what is refused ----


@pytest.mark.parametrize("validation", [None, "empty", [1, 2]])
def test_a_trainer_without_validation_rows_is_refused(validation, make_args, model_of, data_of):
    rows = data_of("tabular").subset([]) if validation == "empty" else validation
    with pytest.raises(InputError, match="validation_dataset"):
        EarlyStoppingTrainer(
            model_of("tabular"),
            make_args(EarlyStoppingConfig),
            train_dataset=data_of("tabular"),
            validation_dataset=rows,
        )


def test_two_rules_are_refused(make_args, model_of, data_of):
    data = data_of("tabular")
    assert isinstance(data, TensorDataset)
    with pytest.raises(InputError, match="given twice"):
        EarlyStoppingTrainer(
            model_of("tabular"),
            make_args(EarlyStoppingConfig),
            train_dataset=data,
            validation_dataset=data,
            callbacks=[ValidationStopCallback(data)],
        )
