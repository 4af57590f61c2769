"""A run that was killed and resumed ends with the weights it would have had, bit for bit."""

from __future__ import annotations

import pytest
import torch
from killed import KillAt, KilledError
from safetensors.torch import load_file, save_file
from tiny_language import language_model, token_rows
from transformers import TrainerCallback

from hf_privacy.data import random_flip
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.defenses.base.checkpoints import seal_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification


def dropout_mlp():
    return TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], dropout=0.4, num_labels=3))


def weights(trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def assert_resumes(make_args, model_init, make_data, tmp_path, *, kill_at, skipped_batches, **arguments):
    """12 examples in batches of 2 are 6 batches an epoch; checkpoints every 4 steps."""
    shared = {
        "num_train_epochs": 3,
        "per_device_train_batch_size": 2,
        "save_strategy": "steps",
        "save_steps": 4,
        "learning_rate": 0.05,
        "lr_scheduler_type": "cosine",
        **arguments,
    }

    def trainer(folder, callbacks=()):
        args = make_args(output_dir=str(tmp_path / folder), **shared)
        return PrivacyTrainer(model_init=model_init, args=args, train_dataset=make_data(), callbacks=list(callbacks))

    whole = trainer("whole")
    whole.train()
    killed = trainer("killed", [KillAt(kill_at)])
    with pytest.raises(KilledError):
        killed.train()
    resumed = trainer("killed")
    torch.manual_seed(12345)  # a fresh process has another random state
    resumed.train(resume_from_checkpoint=True)
    assert resumed.train_dataset.drawn == whole.train_dataset.drawn[skipped_batches:]
    assert torch.equal(weights(resumed), weights(whole))
    assert resumed.state.global_step == whole.state.global_step


@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
@pytest.mark.parametrize(
    ("kill_at", "skipped_batches"), [(5, 4), (13, 12)], ids=["in the middle of an epoch", "at the end of an epoch"]
)
def test_a_killed_run_resumes_bit_for_bit(optim, kill_at, skipped_batches, make_args, data_of, tmp_path):
    assert_resumes(
        make_args,
        dropout_mlp,
        lambda: data_of("tabular", 12),
        tmp_path,
        kill_at=kill_at,
        skipped_batches=skipped_batches,
        optim=optim,
    )


def test_a_killed_run_with_accumulation_resumes_bit_for_bit(make_args, data_of, tmp_path):
    # 6 batches are 3 steps (2, 2, 2); checkpoint 4 is one step into the second epoch.
    assert_resumes(
        make_args,
        dropout_mlp,
        lambda: data_of("tabular", 12),
        tmp_path,
        kill_at=6,
        skipped_batches=8,
        gradient_accumulation_steps=2,
    )


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_a_killed_run_of_an_adapter_resumes_bit_for_bit(name, make_args, lora_model_of, data_of, tmp_path):
    lora_model_of(name)  # saves the base; each later call loads it anew
    assert_resumes(
        make_args,
        lambda: lora_model_of(name),
        lambda: data_of(name, 12),
        tmp_path,
        kill_at=5,
        skipped_batches=4,
    )


def test_the_best_checkpoint_of_a_model_saved_under_other_names_is_put_back(make_args, model_of, data_of, tmp_path):
    # ViT is saved under the names of older versions; the stock Trainer leaves what it does not find as it is.
    data = data_of("vit")
    args = make_args(
        save_strategy="epoch",
        eval_strategy="epoch",
        load_best_model_at_end=True,
        learning_rate=0.05,
        num_train_epochs=2,
    )
    trainer = PrivacyTrainer(model_of("vit"), args, train_dataset=data, eval_dataset=data)
    trainer.train()
    best = type(trainer.model).from_pretrained(trainer.state.best_model_checkpoint)
    for key, tensor in best.state_dict().items():
        assert torch.equal(trainer.model.state_dict()[key], tensor), key


def test_a_checkpoint_that_lacks_weights_is_refused(make_args, model_of, data_of, tmp_path):
    arguments = {"max_steps": 1, "save_strategy": "steps", "save_steps": 1}
    PrivacyTrainer(model_of("tabular"), make_args(**arguments), train_dataset=data_of("tabular")).train()
    file = tmp_path / "run" / "checkpoint-1" / "model.safetensors"
    tensors = load_file(file)
    del tensors["classifier.bias"]
    save_file(tensors, file, metadata={"format": "pt"})
    seal_checkpoint(file.parent)  # as if it had been saved so
    again = PrivacyTrainer(model_of("tabular"), make_args(**arguments), train_dataset=data_of("tabular"))
    with pytest.raises(InputError, match=r"lacks the weights classifier\.bias"):
        again.train(resume_from_checkpoint=True)


@pytest.mark.parametrize(("kill_at", "skipped_batches"), [(5, 4), (13, 12)])
def test_a_killed_run_with_augmentation_resumes_bit_for_bit(
    kill_at, skipped_batches, make_args, model_of, data_of, tmp_path
):
    assert_resumes(
        make_args,
        lambda: model_of("vit"),
        lambda: data_of("vit", 12).with_augmentation(random_flip),
        tmp_path,
        kill_at=kill_at,
        skipped_batches=skipped_batches,
    )


def test_resuming_from_the_last_checkpoint_of_a_finished_run_changes_nothing(make_args, data_of, tmp_path):
    arguments = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "save_strategy": "epoch"}
    finished = PrivacyTrainer(model_init=dropout_mlp, args=make_args(**arguments), train_dataset=data_of("tabular"))
    finished.train()
    again = PrivacyTrainer(model_init=dropout_mlp, args=make_args(**arguments), train_dataset=data_of("tabular"))
    again.train(resume_from_checkpoint=True)
    assert torch.equal(weights(again), weights(finished))


def test_resuming_a_finished_run_of_max_steps_changes_nothing(make_args, data_of, tmp_path):
    # 2 batches an epoch; the third step ends in the middle of the second epoch.
    arguments = {"max_steps": 3, "per_device_train_batch_size": 4, "save_strategy": "steps", "save_steps": 3}
    finished = PrivacyTrainer(model_init=dropout_mlp, args=make_args(**arguments), train_dataset=data_of("tabular"))
    finished.train()
    again = PrivacyTrainer(model_init=dropout_mlp, args=make_args(**arguments), train_dataset=data_of("tabular"))
    again.train(resume_from_checkpoint=True)
    assert again.state.global_step == 3
    assert torch.equal(weights(again), weights(finished))


def test_the_best_checkpoint_may_be_the_one_resumed_from(make_args, model_of, data_of):
    # The learning rate after the resume ruins the model, so that the best weights are those the run started from.
    data = data_of("tabular")
    arguments = {
        "save_strategy": "epoch",
        "eval_strategy": "epoch",
        "load_best_model_at_end": True,
        "optim": "sgd",
        "momentum": 0.0,
    }
    first = PrivacyTrainer(
        model_of("tabular"), make_args(num_train_epochs=1, **arguments), train_dataset=data, eval_dataset=data
    )
    first.train()

    class Ruin(TrainerCallback):
        def on_train_begin(self, args, state, control, *, optimizer, lr_scheduler, **kwargs):
            lr_scheduler.base_lrs = [50.0 for _ in lr_scheduler.base_lrs]
            for group in optimizer.param_groups:
                group["lr"] = 50.0

    second = PrivacyTrainer(
        model_of("tabular"),
        make_args(num_train_epochs=3, **arguments),
        train_dataset=data,
        eval_dataset=data,
        callbacks=[Ruin()],
    )
    second.train(resume_from_checkpoint=True)
    assert second.state.best_global_step == 1
    assert torch.equal(weights(second), weights(first))


def test_training_twice_from_model_init_is_the_same_training_twice(make_args, data_of):
    args = make_args(num_train_epochs=2, per_device_train_batch_size=2, learning_rate=0.05)
    trainer = PrivacyTrainer(model_init=dropout_mlp, args=args, train_dataset=data_of("tabular", 12))
    trainer.train()
    once, drawn = weights(trainer), list(trainer.train_dataset.drawn)
    trainer.train_dataset.drawn.clear()
    trainer.train()
    assert torch.equal(weights(trainer), once)
    assert trainer.train_dataset.drawn == drawn


def test_training_twice_from_a_model_trains_on(make_args, model_of, data_of):
    trainer = PrivacyTrainer(model_of("tabular"), make_args(), train_dataset=data_of("tabular"))
    trainer.train()
    once = weights(trainer)
    trainer.train()
    assert not torch.equal(weights(trainer), once)


def test_each_epoch_draws_all_examples_once_in_another_order(make_args, model_of, data_of):
    data = data_of("tabular", 12)
    args = make_args(num_train_epochs=3, per_device_train_batch_size=4)
    PrivacyTrainer(model_of("tabular"), args, train_dataset=data).train()
    epochs = [[index for batch in data.drawn[start : start + 3] for index in batch] for start in (0, 3, 6)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(12))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_data_seed_alone_changes_the_order_and_not_the_model(make_args, data_of):
    runs = []
    for data_seed in (None, 7):
        data = data_of("tabular", 12)
        args = make_args(num_train_epochs=1, data_seed=data_seed)
        trainer = PrivacyTrainer(model_init=dropout_mlp, args=args, train_dataset=data)
        runs.append((weights(trainer), data))
        trainer.train()
    assert torch.equal(runs[0][0], runs[1][0])
    assert runs[0][1].drawn != runs[1][1].drawn


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_a_killed_language_model_resumes_bit_for_bit(lora, tmp_path):
    def trainer(folder, callbacks=()):
        args = PrivacyConfig(
            str(tmp_path / folder), num_train_epochs=3, per_device_train_batch_size=2, gradient_accumulation_steps=2,
            save_strategy="steps", save_steps=2, learning_rate=0.05, report_to="none", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        model = language_model("llama", lora=lora, spread=0.05)
        return PrivacyTrainer(model, args, train_dataset=token_rows(), callbacks=list(callbacks))

    whole = trainer("whole")
    whole.train()
    with pytest.raises(KilledError):
        trainer("killed", [KillAt(3)]).train()
    resumed = trainer("killed")
    start = weights(resumed).clone()
    torch.manual_seed(12345)
    resumed.train(resume_from_checkpoint=True)
    assert torch.equal(weights(resumed), weights(whole))
    assert not torch.equal(weights(resumed), start)
