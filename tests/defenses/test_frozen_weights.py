"""Trap 9: frozen weights keep their bits through every trainer, optimizer, precision, checkpoint and process."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pytest
import torch
from killed import KillAt, KilledError
from safetensors.torch import load_file, save_file
from torchrun import on_two_processes
from transformers import TrainerCallback

from hf_privacy.defenses import FrozenWeightsCallback, FrozenWeightsError, PrivacyTrainer
from hf_privacy.defenses.base.checkpoints import seal_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.weights import load_mask, save_mask


def some_mask(model, share=0.4, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(parameter.shape, generator=generator) < share
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def weights_of(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def assert_frozen(model, before, mask):
    """Masked weights have their bits; of every trained tensor all others have moved."""
    for name, parameter in model.named_parameters():
        after, were = parameter.detach(), before[name]
        if name in mask:
            held = mask[name]
            assert torch.equal(after[held].view(torch.uint8), were[held].view(torch.uint8)), name
            assert (after != were)[~held].all(), name


class Noise(TrainerCallback):
    """DP's noise: on the gradient of every weight, after the frozen ones were masked."""

    def on_pre_optimizer_step(self, args, state, control, *, model, **kwargs):
        for parameter in model.parameters():
            parameter.grad.add_(torch.randn_like(parameter.grad))


OPTIMIZERS = {
    "adamw": {"optim": "adamw_torch", "learning_rate": 0.01},
    "sgd": {"optim": "sgd", "learning_rate": 0.1, "optim_args": "momentum=0.9"},
}


@pytest.fixture
def dense_data(data_of):
    """Data for the tabular model, whose tanh or relu units all carry a gradient."""
    return data_of("tabular", 16)


def smooth_model(model_of):
    # With relu a unit may be off for every example, and its weights then rightly stand still.
    model = model_of("tabular")
    model.activation = torch.nn.Tanh()
    return model


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("noise", [False, True], ids=["", "noise"])
def test_trap_9_frozen_weights_keep_their_bits_and_all_others_move(
    noise, optimizer, bf16, decay, accumulation, make_args, model_of, dense_data
):
    model = smooth_model(model_of)
    mask, before = some_mask(model), weights_of(model)
    args = make_args(
        **OPTIMIZERS[optimizer],
        bf16=bf16,
        weight_decay=decay,
        gradient_accumulation_steps=accumulation,
        per_device_train_batch_size=4,
        num_train_epochs=2,
        max_grad_norm=0.5,
    )
    callbacks = [FrozenWeightsCallback(mask), *([Noise()] if noise else [])]
    trainer = PrivacyTrainer(model, args, train_dataset=dense_data, callbacks=callbacks)
    trainer.train()
    assert_frozen(model, before, mask)
    for name, parameter in model.named_parameters():
        for state in trainer.optimizer.state[parameter].values():
            if torch.is_tensor(state) and state.shape == parameter.shape:
                assert not state[mask[name]].any(), name
                assert state[~mask[name]].any(), name


def test_one_step_moves_every_other_weight(make_args, model_of, dense_data):
    model = smooth_model(model_of)
    mask, before = some_mask(model), weights_of(model)
    args = make_args(optim="sgd", learning_rate=0.1, max_steps=1, per_device_train_batch_size=16)
    PrivacyTrainer(model, args, train_dataset=dense_data, callbacks=[FrozenWeightsCallback(mask)]).train()
    assert_frozen(model, before, mask)


def test_the_first_step_moves_the_others_as_it_would_without_the_callback(make_args, model_of, dense_data):
    # Plain gradient descent without clipping acts on each weight by itself.
    ends = []
    for callbacks in ([], [FrozenWeightsCallback(some_mask(smooth_model(model_of)))]):
        model = smooth_model(model_of)
        args = make_args(optim="sgd", learning_rate=0.1, max_steps=1, max_grad_norm=0.0, weight_decay=0.1)
        PrivacyTrainer(model, args, train_dataset=dense_data, callbacks=callbacks).train()
        ends.append(weights_of(model))
    for name, mask in some_mask(smooth_model(model_of)).items():
        assert torch.equal(ends[0][name][~mask], ends[1][name][~mask])


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_an_adapters_weights_can_be_frozen(name, make_args, lora_model_of, data_of):
    model = lora_model_of(name)
    mask = {key: selected for key, selected in some_mask(model).items() if "lora_" in key}
    before = weights_of(model)
    args = make_args(num_train_epochs=3, learning_rate=0.05, weight_decay=0.1)
    PrivacyTrainer(model, args, train_dataset=data_of(name), callbacks=[FrozenWeightsCallback(mask)]).train()
    for key, held in mask.items():
        after = model.get_parameter(key).detach()
        assert torch.equal(after[held], before[key][held]), key
        assert (after != before[key])[~held].any(), key


def test_the_best_checkpoint_brings_the_frozen_weights_back(make_args, model_of, dense_data):
    model = smooth_model(model_of)
    mask, before = some_mask(model), weights_of(model)
    args = make_args(
        save_strategy="epoch",
        eval_strategy="epoch",
        load_best_model_at_end=True,
        num_train_epochs=2,
        learning_rate=0.1,
    )
    PrivacyTrainer(
        model, args, train_dataset=dense_data, eval_dataset=dense_data, callbacks=[FrozenWeightsCallback(mask)]
    ).train()
    for name, held in mask.items():
        assert torch.equal(model.get_parameter(name)[held], before[name][held])


# ---- checkpoints ----


class KillAtSave(TrainerCallback):
    def on_save(self, args, state, control, **kwargs):
        raise KilledError


RUN = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 4,
    "save_strategy": "steps",
    "save_steps": 3,
    "learning_rate": 0.05,
    "weight_decay": 0.1,
}


@pytest.fixture
def make_trainer(make_args, model_of, dense_data, tmp_path):
    """Give a function that makes the trainer of a run: ``make_trainer("killed", FrozenWeightsCallback(mask))``."""

    def make(folder, *callbacks, **arguments):
        args = make_args(output_dir=str(tmp_path / folder), **{**RUN, **arguments})
        return PrivacyTrainer(smooth_model(model_of), args, train_dataset=dense_data, callbacks=list(callbacks))

    return make


@pytest.fixture
def mask(model_of):
    return some_mask(model_of("tabular"))


@pytest.fixture
def killed(make_trainer, mask, tmp_path):
    """The folder of a run that was killed after its checkpoint at step 3."""
    with pytest.raises(KilledError):
        make_trainer("killed", FrozenWeightsCallback(mask), KillAt(5)).train()
    return tmp_path / "killed"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("pass_mask", [True, False])
@pytest.mark.parametrize("restore", [False, True])
def test_a_resumed_run_ends_as_a_whole_one_with_the_mask_passed_or_found(
    restore, pass_mask, optimizer, make_trainer, mask
):
    options = {**OPTIMIZERS[optimizer], "restore_callback_states_from_checkpoint": restore}
    whole = make_trainer("whole", FrozenWeightsCallback(mask), **options)
    start = weights_of(whole.model)
    whole.train()
    with pytest.raises(KilledError):
        make_trainer("run", FrozenWeightsCallback(mask), KillAt(5), **options).train()
    resumed = make_trainer("run", FrozenWeightsCallback(mask if pass_mask else None), **options)
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == whole.state.global_step == 12
    for name, end in weights_of(whole.model).items():
        assert torch.equal(resumed.model.get_parameter(name), end), name
    assert_frozen(resumed.model, start, mask)


def test_every_checkpoint_carries_its_mask_beside_weights_that_can_be_pushed(make_trainer, mask, tmp_path):
    make_trainer("run", FrozenWeightsCallback(mask)).train()
    for step in (3, 6, 9, 12):
        checkpoint = tmp_path / "run" / f"checkpoint-{step}"
        saved = load_mask(checkpoint / "frozen_weights" / "mask.safetensors")
        assert all(torch.equal(saved[name], held) for name, held in mask.items())
        # A safetensors file in the folder itself that holds no weights would stop a push.
        assert [path.name for path in checkpoint.glob("*.safetensors")] == ["model.safetensors"]


def test_a_checkpoint_killed_before_its_mask_is_not_resumed(make_trainer, mask, tmp_path):
    with pytest.raises(KilledError):
        make_trainer("run", KillAtSave(), FrozenWeightsCallback(mask)).train()
    assert not (tmp_path / "run" / "checkpoint-3" / "frozen_weights").exists()
    with pytest.raises(InputError, match="no whole checkpoint"):
        make_trainer("run", FrozenWeightsCallback()).train(resume_from_checkpoint=True)


def test_a_resume_without_the_mask_is_refused(make_trainer, killed):
    shutil.rmtree(killed / "frozen_weights")
    shutil.rmtree(killed / "checkpoint-3" / "frozen_weights")
    seal_checkpoint(killed / "checkpoint-3")  # as if it had been saved so
    with pytest.raises(InputError, match="holds no mask of the checkpoint at step 3"):
        make_trainer("killed", FrozenWeightsCallback()).train(resume_from_checkpoint=True)


def test_a_mask_file_of_another_run_is_not_taken_for_this_ones(make_trainer, killed, model_of):
    other = some_mask(model_of("tabular"), seed=2)
    for folder in (killed, killed / "checkpoint-3"):
        save_mask(other, folder / "frozen_weights" / "mask.safetensors")
    seal_checkpoint(killed / "checkpoint-3")
    with pytest.raises(InputError, match="holds no mask of the checkpoint at step 3"):
        make_trainer("killed", FrozenWeightsCallback()).train(resume_from_checkpoint=True)


def test_a_resume_with_another_mask_is_refused(make_trainer, killed, model_of):
    other = some_mask(model_of("tabular"), seed=2)
    with pytest.raises(InputError, match="the mask differs from that of the checkpoint at step 3"):
        make_trainer("killed", FrozenWeightsCallback(other)).train(resume_from_checkpoint=True)


def test_a_checkpoint_whose_frozen_weights_were_changed_is_refused(make_trainer, killed, mask):
    file = killed / "checkpoint-3" / "model.safetensors"
    tensors = load_file(file)
    tensors["classifier.weight"] += 1.0
    save_file(tensors, file, metadata={"format": "pt"})
    seal_checkpoint(killed / "checkpoint-3")
    with pytest.raises(InputError, match="are not those its run began with"):
        make_trainer("killed", FrozenWeightsCallback(mask)).train(resume_from_checkpoint=True)


def test_a_checkpoint_saved_without_frozen_weights_is_refused(make_trainer, mask):
    with pytest.raises(KilledError):
        make_trainer("run", KillAt(5)).train()
    with pytest.raises(InputError, match="at step 3 was saved without frozen weights"):
        make_trainer("run", FrozenWeightsCallback(mask)).train(resume_from_checkpoint=True)


# ---- bad input ----


def test_without_a_mask_training_does_not_begin(make_trainer):
    with pytest.raises(InputError, match="mask is missing"):
        make_trainer("run", FrozenWeightsCallback()).train()


def test_the_mask_of_another_model_is_refused(make_trainer):
    with pytest.raises(InputError, match="no parameter of that name"):
        make_trainer("run", FrozenWeightsCallback({"bert.weight": torch.ones(1, dtype=torch.bool)})).train()


def test_two_callbacks_are_refused(make_trainer, mask):
    with pytest.raises(InputError, match="2 FrozenWeightsCallback were passed"):
        make_trainer("run", FrozenWeightsCallback(mask), FrozenWeightsCallback(mask)).train()


def test_sharded_weights_are_refused(mask, model_of):
    class Args:
        fsdp, deepspeed = ["full_shard"], None

    with pytest.raises(InputError, match="FSDP or DeepSpeed"):
        FrozenWeightsCallback(mask).on_train_begin(Args(), None, None, model=model_of("tabular"), optimizer=None)


def test_another_callback_that_moves_frozen_weights_is_found_out(make_trainer, mask):
    class Meddler(TrainerCallback):
        def on_step_end(self, args, state, control, *, model, **kwargs):
            with torch.no_grad():
                model.classifier.weight.add_(1.0)

    trainer = make_trainer("run", FrozenWeightsCallback(mask), Meddler(), max_steps=1, save_strategy="no")
    with pytest.raises(FrozenWeightsError, match=r"classifier\.weight have moved"):
        trainer.train()


def test_a_copy_of_the_callback_freezes_another_model(make_trainer, mask):
    # References get a copy of the callbacks.
    first = make_trainer("first", FrozenWeightsCallback(mask), save_strategy="no")
    first.train()
    second = make_trainer("second", *copy.deepcopy(first.initial_callbacks), save_strategy="no")
    before = weights_of(second.model)
    second.train()
    assert_frozen(second.model, before, mask)


# ---- two processes ----


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes_frozen")
    on_two_processes(Path(__file__).with_name("two_processes_frozen.py"), folder)
    return folder


def test_frozen_weights_keep_their_bits_on_both_of_two_processes(two_processes):
    start = load_file(two_processes / "start.safetensors")
    mask = load_mask(two_processes / "mask.safetensors")
    ends = [load_file(two_processes / f"end-{rank}.safetensors") for rank in (0, 1)]
    for name, held in mask.items():
        assert torch.equal(ends[0][name], ends[1][name])
        assert torch.equal(ends[0][name][held], start[name][held])
        assert (ends[0][name] != start[name])[~held].any()


def test_masks_that_differ_between_processes_are_refused(two_processes):
    for rank in (0, 1):
        assert "differ between processes" in (two_processes / f"refused-{rank}.txt").read_text()
