"""DP-SGD inside the Trainer: the noisy gradient, the ledger, the budget."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import small_training
import torch
from transformers import TrainerCallback

from hf_privacy.defenses.dp.accounting import LEDGER_FILE, PrivacyLedger, epsilon_of
from hf_privacy.defenses.dp.config import DPConfig
from hf_privacy.defenses.dp.journal import JOURNAL_FILE
from hf_privacy.defenses.dp.per_sample_gradients import UNIT
from hf_privacy.defenses.dp.secret_stream import SecretStream
from hf_privacy.defenses.dp.trainer import DPTrainer
from hf_privacy.errors import InputError

opacus = pytest.importorskip("opacus")
QUIET = {
    **small_training.QUIET,
    "optim": "sgd",
    "momentum": 0.0,
    "learning_rate": 0.1,
    "accountant": "rdp",
}


@pytest.fixture
def make_trainer(tmp_path, model_of, data_of):
    def make(name="tabular", n=40, model=None, callbacks=None, **arguments):
        settings = {**QUIET, "output_dir": str(tmp_path / "run"), "per_device_train_batch_size": 8, **arguments}
        return DPTrainer(
            model if model is not None else model_of(name),
            DPConfig(**settings),
            train_dataset=data_of(name, n),
            callbacks=callbacks,
        )

    return make


def weights(trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def test_without_noise_and_with_every_example_a_step_is_plain_gradient_descent(make_trainer, model_of, data_of):
    trainer = make_trainer(n=8, noise_multiplier=0.0, max_grad_norm=1e6, max_steps=1)
    trainer.train()
    model, batch = model_of("tabular"), data_of("tabular", 8).__getitems__(range(8))
    loss = torch.nn.functional.cross_entropy(trainer.forward_without_labels(model, batch)["logits"], batch["labels"])
    loss.backward()
    expected = torch.cat([(p - 0.1 * p.grad).flatten() for p in model.parameters()])
    torch.testing.assert_close(weights(trainer), expected.detach())


def test_accumulation_changes_nothing(make_trainer):
    one = make_trainer(n=8, noise_multiplier=0.0, max_grad_norm=0.3, max_steps=3)
    four = make_trainer(
        n=8, noise_multiplier=0.0, max_grad_norm=0.3, max_steps=3, per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
    )  # fmt: skip
    for trainer in (one, four):
        trainer.train()
    torch.testing.assert_close(weights(one), weights(four))
    assert one.ledger.n_steps == four.ledger.n_steps == 3


def test_all_ways_to_per_sample_gradients_give_the_same_step(make_trainer):
    settings = {"n": 8, "noise_multiplier": 0.0, "max_grad_norm": 0.3, "max_steps": 2}
    ways = [make_trainer(**settings, per_sample_gradients=way) for way in ("functional", "hooks", "ghost")]
    for trainer in ways:
        trainer.train()
    torch.testing.assert_close(weights(ways[0]), weights(ways[1]))
    torch.testing.assert_close(weights(ways[0]), weights(ways[2]))


def test_a_first_batch_of_one_unit_is_not_what_the_check_rests_on(make_trainer):
    trainer = make_trainer(noise_multiplier=1.0)
    held = []
    trainer._clipped_sum = SimpleNamespace(check=lambda *batches: held.append([len(b["labels"]) for b in batches]))
    rows = trainer.train_dataset.__getitems__(range(3))
    one_row, one_group = {name: values[:1] for name, values in rows.items()}, {**rows, UNIT: torch.zeros(3).long()}
    assert all(trainer._check_clipping(trainer.model, batch) for batch in (rows, one_row, one_group))
    assert held == [[3], [1, 2], [3, 2]]
    trainer.train_dataset = [trainer.train_dataset[row] for row in range(3)]  # of which nothing more is known
    assert trainer._check_clipping(trainer.model, rows)
    assert not trainer._check_clipping(trainer.model, one_row)
    assert not trainer._check_clipping(trainer.model, one_group)


def test_the_check_is_made_again_where_other_weights_are_trained(make_trainer, monkeypatch):
    class Freezes(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            list(model.parameters())[-1].requires_grad = state.global_step != 2

    trainer = make_trainer(n=8, noise_multiplier=1.0, max_steps=5)  # every row in every batch
    trainer.add_callback(Freezes())
    held = []
    monkeypatch.setattr(trainer, "_check_clipping", lambda *arguments: held.append(trainer.state.global_step) or True)
    trainer.train()
    assert held == [0, 2, 3]


def test_what_processes_add_up_lies_in_one_order_in_memory(make_trainer, monkeypatch):
    """A process without rows has zeros row by row; the sum of a transposed weight lies column by column."""
    trainer = make_trainer(noise_multiplier=0.0)
    parameters = list(trainer.model.parameters())
    sums = [torch.randn(parameter.shape[::-1]).permute(*range(parameter.ndim)[::-1]) for parameter in parameters]
    monkeypatch.setattr(DPConfig, "world_size", 2)
    trainer.accelerator = SimpleNamespace(reduce=lambda total, reduction: seen.append(total.is_contiguous()) or total)
    trainer._noise, trainer._sums, seen = SecretStream(), sums, []
    trainer._set_noisy_gradient(parameters)
    assert seen == [True] * len(parameters)


def test_the_noise_has_the_stated_deviation(make_trainer, model_of):
    # With a tiny sample rate the batch is empty, and the step is noise alone.
    steps = []
    start = torch.cat([p.detach().flatten() for p in model_of("tabular").parameters()])
    for _ in range(30):
        trainer = make_trainer(
            n=1000, per_device_train_batch_size=1, noise_multiplier=2.0, max_grad_norm=1e-6, max_steps=1
        )
        trainer.train()
        steps.append(weights(trainer) - start)
    expected = 0.1 * 2.0 * 1e-6  # learning rate × noise × clipping norm, over an expected batch of one
    values = torch.stack(steps)
    # float32 weights round steps of 2e-7: compare through the average over all entries.
    assert values.double().std().item() == pytest.approx(expected, rel=0.15)


def test_trap_8_an_empty_batch_is_a_noisy_step_and_counts(make_trainer):
    trainer = make_trainer(n=4000, per_device_train_batch_size=1, noise_multiplier=1.0, max_steps=20)
    before = weights(trainer).clone()
    trainer.train()
    assert [] in trainer.train_dataset.drawn
    assert trainer.ledger.n_steps == 20
    assert not torch.equal(before, weights(trainer))


def test_trap_4_two_runs_with_one_seed_have_different_noise(make_trainer):
    runs = [make_trainer(noise_multiplier=1.0, max_steps=1, seed=0) for _ in range(2)]
    for trainer in runs:
        trainer.train()
    assert not torch.equal(weights(runs[0]), weights(runs[1]))


def test_epsilon_is_opacuss_for_the_same_sampler(make_trainer):
    from opacus.accountants import RDPAccountant

    trainer = make_trainer(noise_multiplier=1.0, num_train_epochs=3, target_delta=1e-4)
    trainer.train()
    theirs = RDPAccountant()
    for _ in range(15):  # 40 examples, 8 a step on average: 5 steps an epoch
        theirs.step(noise_multiplier=1.0, sample_rate=0.2)
    spent = trainer.privacy_spent()
    assert spent["epsilon"] == pytest.approx(theirs.get_epsilon(delta=1e-4))
    assert (spent["delta"], spent["accountant"], spent["sampler"]) == (1e-4, "RDP", "Poisson")


def test_what_is_planned_is_what_is_spent(make_trainer):
    trainer = make_trainer(target_epsilon=3.0, num_train_epochs=2)
    planned = trainer.privacy_spent()
    assert planned["epsilon"] <= 3.0
    trainer.train()
    assert trainer.privacy_spent() == planned


def test_training_stops_before_the_step_that_would_exceed_the_budget(make_trainer):
    kind = {"noise_multiplier": 1.0, "sample_rate": 0.2}
    target = epsilon_of("rdp", **kind, n_steps=7, delta=1e-4)
    trainer = make_trainer(noise_multiplier=1.0, target_epsilon=target, target_delta=1e-4, num_train_epochs=10)
    assert trainer.privacy_spent()["epsilon"] <= target
    trainer.train()
    assert trainer.state.global_step == trainer.ledger.n_steps == 7
    assert trainer.privacy_spent()["epsilon"] <= target
    with pytest.raises(InputError, match="does not allow one further step"):
        trainer.train()


def test_a_second_training_adds_to_what_is_spent(make_trainer):
    trainer = make_trainer(noise_multiplier=1.0, max_steps=3)
    trainer.train()
    once = trainer.privacy_spent()["epsilon"]
    trainer.train()
    assert trainer.ledger.n_steps == 6
    assert trainer.privacy_spent()["epsilon"] > once


class Killed(BaseException):
    pass


class KillAt(TrainerCallback):
    """Ends a run as ``kill -9`` does: nothing of the trainer's own is called after it."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Killed


def test_trap_3_a_killed_run_that_goes_on_has_spent_what_an_uninterrupted_one_has(make_trainer, tmp_path, monkeypatch):
    settings = {"noise_multiplier": 1.0, "num_train_epochs": 4, "save_strategy": "steps", "save_steps": 3}
    whole = make_trainer(output_dir=str(tmp_path / "whole"), **settings)
    whole.train()
    killed = make_trainer(**settings, callbacks=[KillAt(8)])
    # A kill lets nothing run after it; what was written is what the last save wrote.
    monkeypatch.setattr(killed, "_release", lambda: killed._journal.release([(1.0, 0.2, 6)]))
    with pytest.raises(Killed):
        killed.train()
    resumed = make_trainer(**settings)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == resumed.ledger.n_steps == 20
    assert resumed.privacy_spent() == whole.privacy_spent()


def test_going_back_to_an_older_checkpoint_spends_what_was_released_before_as_well(make_trainer, tmp_path):
    settings = {"noise_multiplier": 1.0, "num_train_epochs": 4, "save_strategy": "steps", "save_steps": 6}
    whole = make_trainer(**settings)
    whole.train()
    spent = [whole.privacy_spent()["epsilon"]]
    for steps in (28, 36):  # 20 were released, then 8 more from checkpoint-12, and 8 more
        back = make_trainer(**settings)
        back.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-12"))
        assert back.state.global_step == 20
        assert back.ledger.n_steps == steps
        assert back.privacy_spent()["epsilon"] > spent[-1]
        back.save_model()
        assert back.privacy_spent_by(back.args.output_dir) == back.privacy_spent()
        spent.append(back.privacy_spent()["epsilon"])


def test_a_budget_that_is_spent_ends_a_rollback_before_it_trains(make_trainer, tmp_path):
    settings = {"target_epsilon": 4.0, "num_train_epochs": 2, "save_strategy": "steps", "save_steps": 5}
    make_trainer(**settings).train()
    with pytest.raises(InputError, match="does not allow one further step"):
        make_trainer(**settings).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-5"))


@pytest.mark.parametrize("look", ["evaluate", "predict"])
def test_weights_that_were_looked_at_count_though_they_were_never_saved(look, make_trainer, data_of):
    trainer, counted = make_trainer(noise_multiplier=1.0, max_steps=6), []

    class Evaluate(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step in (3, 5):
                getattr(trainer, look)(data_of("tabular", 8))
                counted.append(trainer._journal.released())

    trainer.add_callback(Evaluate())
    trainer.train()
    assert counted == [[(1.0, 0.2, 3)], [(1.0, 0.2, 5)]]
    assert trainer._journal.released() == [(1.0, 0.2, 6)]


def test_a_training_from_the_start_is_one_of_its_own(make_trainer):
    for _ in range(2):
        trainer = make_trainer(noise_multiplier=1.0, max_steps=3)
        trainer.train()
        assert trainer.ledger.n_steps == 3
        assert trainer._journal.released() == [(1.0, 0.2, 3)]


@pytest.fixture
def half_trained(make_trainer, tmp_path):
    settings = {"noise_multiplier": 1.0, "max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    make_trainer(**settings).train()
    return settings, tmp_path / "run"


def test_a_checkpoint_whose_journal_is_lost_is_refused(half_trained, make_trainer):
    settings, folder = half_trained
    (folder / JOURNAL_FILE).unlink()
    with pytest.raises(InputError, match=r"journal\.jsonl is missing"):
        make_trainer(**settings).train(resume_from_checkpoint=str(folder / "checkpoint-2"))


def test_a_journal_that_was_cut_is_refused(half_trained, make_trainer):
    settings, folder = half_trained
    journal = folder / JOURNAL_FILE
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(InputError, match="says less than the checkpoint's ledger"):
        make_trainer(**settings).train(resume_from_checkpoint=str(folder / "checkpoint-4"))


def test_a_checkpoint_of_another_folder_is_refused(half_trained, make_trainer, tmp_path):
    settings, folder = half_trained
    elsewhere = make_trainer(**settings, output_dir=str(tmp_path / "elsewhere"))
    with pytest.raises(InputError, match="lies in another folder than output_dir"):
        elsewhere.train(resume_from_checkpoint=str(folder / "checkpoint-2"))


def test_a_ledger_without_noise_is_no_ledger_of_a_noisy_training(half_trained, make_trainer):
    settings, folder = half_trained
    content = json.loads((folder / "checkpoint-2" / LEDGER_FILE).read_text())
    content["steps"] = [[0.0, 0.2, 2]]
    (folder / "checkpoint-2" / LEDGER_FILE).write_text(json.dumps(content))
    with pytest.raises(InputError, match="steps without noise"):
        make_trainer(**settings).train(resume_from_checkpoint=str(folder / "checkpoint-2"))


def test_trap_3_a_checkpoint_without_its_ledger_is_refused(make_trainer, tmp_path):
    settings = {"noise_multiplier": 1.0, "max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    make_trainer(**settings).train()
    checkpoint = tmp_path / "run" / "checkpoint-2"
    PrivacyLedger("rdp", [(1.0, 0.2, 1)]).save(checkpoint)
    with pytest.raises(InputError, match="its ledger 1: ε would be under-reported"):
        make_trainer(**settings).train(resume_from_checkpoint=str(checkpoint))
    (checkpoint / LEDGER_FILE).unlink()
    with pytest.raises(InputError, match="ε would be under-reported"):
        make_trainer(**settings).train(resume_from_checkpoint=str(checkpoint))


def test_an_accountant_is_not_changed_midway(make_trainer, tmp_path):
    settings = {"noise_multiplier": 1.0, "max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    make_trainer(**settings).train()
    with pytest.raises(InputError, match="was accounted by rdp and accountant is prv"):
        make_trainer(**settings, accountant="prv").train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))


def test_trap_10_an_adapters_weights_move(make_trainer, lora_model_of):
    trainer = make_trainer("bert", n=12, model=lora_model_of("bert"), noise_multiplier=0.5, max_steps=2)
    trainable = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if p.requires_grad}
    fixed = {name: p.detach().clone() for name, p in trainer.model.named_parameters() if not p.requires_grad}
    trainer.train()
    now = dict(trainer.model.named_parameters())
    assert all(not torch.equal(old, now[name]) for name, old in trainable.items())
    assert all(torch.equal(old, now[name]) for name, old in fixed.items())


@pytest.mark.parametrize("name", ["vit", "convnext"])
def test_one_step_moves_every_trainable_tensor(name, make_trainer):
    trainer = make_trainer(name, n=12, noise_multiplier=0.5, max_steps=1, optim="adamw_torch")
    before = {key: p.detach().clone() for key, p in trainer.model.named_parameters()}
    trainer.train()
    assert [key for key, p in trainer.model.named_parameters() if torch.equal(p, before[key])] == []


def test_the_noisy_gradient_is_not_clipped_again(make_trainer):
    trainer = make_trainer(n=8, noise_multiplier=1.0, max_grad_norm=1e-3, max_steps=1, learning_rate=1.0)
    before = weights(trainer).clone()
    trainer.train()
    n_weights = len(before)
    # Noise of 1e-3 in each of the weights, over a batch of 8: its norm is far above the clipping norm over the batch.
    assert (weights(trainer) - before).norm() == pytest.approx(1e-3 / 8 * math.sqrt(n_weights), rel=0.4)


def test_evaluation_and_saving_work_after_training(make_trainer, tmp_path):
    trainer = make_trainer(noise_multiplier=1.0, max_steps=2)
    trainer.train()
    assert "eval_loss" in trainer.evaluate(trainer.train_dataset)
    trainer.save_model()
    assert (Path(trainer.args.output_dir) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither target_epsilon nor noise_multiplier is set"),
        ({"target_epsilon": 0.0}, "target_epsilon is 0.0"),
        ({"noise_multiplier": -1.0}, "noise_multiplier is -1.0"),
        ({"noise_multiplier": 1.0, "target_delta": 1.0}, "target_delta is 1.0"),
        ({"noise_multiplier": 1.0, "max_grad_norm": 0.0}, "max_grad_norm is 0.0"),
        ({"noise_multiplier": 1.0, "accountant": "moments"}, "accountant is 'moments'"),
        ({"noise_multiplier": 1.0, "label_smoothing_factor": 0.1}, "label_smoothing_factor is 0.1"),
        ({"noise_multiplier": 1.0, "fp16": True}, "fp16 is set"),
        ({"noise_multiplier": 1.0, "auto_find_batch_size": True}, "auto_find_batch_size is set"),
        ({"noise_multiplier": 1.0, "bf16": True, "per_sample_gradients": "ghost"}, "bf16 is set and per_sample_grad"),
        ({"noise_multiplier": 1.0, "dataloader_drop_last": True}, "dataloader_drop_last is set"),
        ({"noise_multiplier": 1.0, "per_device_train_batch_size": 64}, "larger than the training set of 40 examples"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_training(arguments, message, make_trainer):
    with pytest.raises(InputError, match=message):
        make_trainer(**arguments)


def test_hooks_that_cannot_follow_the_model_stop_the_training(make_trainer):
    with pytest.raises(InputError, match="cannot follow this model"):
        make_trainer("bert", n=12, noise_multiplier=1.0, max_steps=1, per_sample_gradients="hooks").train()


def test_batch_norm_is_refused_before_training(make_trainer):
    with pytest.raises(InputError, match="GroupNorm"):
        make_trainer("resnet", n=12, noise_multiplier=1.0)
