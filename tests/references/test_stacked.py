"""Adapters trained side by side are what each is when it is trained by itself."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import warnings

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from small_training import QUIET
from tiny_language import LANGUAGE_MODELS, token_rows
from tiny_models import tiny_data, tiny_model
from transformers import AutoConfig, AutoModelForCausalLM, TrainerCallback

from hf_privacy import said_once
from hf_privacy.data import MembershipSplit
from hf_privacy.defenses import DEFENSES, PrivacyConfig, PrivacyTrainer, trainer_class
from hf_privacy.models import attach_lora, on_the_same_weights
from hf_privacy.references import reference_run, reference_trainer, stacked
from hf_privacy.references.stacked import most_stacked, train_stacked, why_not_stacked
from hf_privacy.signals import compute_signals

# The rate falls, gradients are clipped, the last batch is smaller and the last step has fewer batches.
EVERY_STEP = {
    **QUIET,
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "max_grad_norm": 0.5,
    "lr_scheduler_type": "linear",
    "warmup_steps": 1,
}
UNEVEN = [9, 4, 12, 2, 7, 5, 11, 3] * 4
SIZES = (16, 9, 13)  # rows of each reference: as many steps differ


@pytest.fixture(autouse=True, scope="module")
def _frozen_heap():
    """The Trainer collects garbage before each training; as in a run, not among all that is loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _unsaid(monkeypatch):
    monkeypatch.setattr(said_once, "_SAID", set())


def adapters_of(kind, *, dtype=torch.float64, dropout=0.0, folder=None, **lora):
    """A maker of adapters of one base, which is in memory once, and in a folder where one is named."""
    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **LANGUAGE_MODELS[kind])).to(dtype)
    if not dropout:
        for module in base.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        base.config.attn_pdrop = base.config.attention_dropout = 0.0
        for block in getattr(getattr(base, "transformer", None), "h", []):
            block.attn.config = base.config
    with torch.no_grad():
        for weight in base.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    if folder is not None:
        base.save_pretrained(folder)
        base.config._name_or_path = base.name_or_path = str(folder)
    settings = {"target_modules": "all-linear", "r": 2, "task_type": "CAUSAL_LM", "lora_dropout": dropout, **lora}

    def model_init():
        return get_peft_model(on_the_same_weights(base), LoraConfig(**settings), autocast_adapter_dtype=False).train()

    return model_init


@pytest.fixture
def clones_of(tmp_path):
    """Give a function: clones of a target, each on some of the rows, under a seed of its own."""

    def make(model_init, rows, sizes=SIZES, *, kind=PrivacyTrainer, callbacks=None, **arguments):
        args = kind.config_class(output_dir=str(tmp_path / "target"), **{**EVERY_STEP, **arguments})
        extra = {"validation_dataset": token_rows(seed=9)} if kind.needs_validation else {}
        target = kind(args=args, model_init=model_init, train_dataset=rows, callbacks=callbacks, **extra)
        drawn = [np.random.default_rng(number).permutation(len(rows))[:size] for number, size in enumerate(sizes)]
        return [
            reference_trainer(target, rows.subset(own), seed=100 + number, output_dir=tmp_path / str(number))
            for number, own in enumerate(drawn)
        ]

    return make


def trained_weights(trainer):
    return {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}


def both_ways(make):
    """The same clones, by the Trainer's own loop one after another, and side by side."""
    alone = make()
    for clone in alone:
        clone.train()
    together = make()
    assert train_stacked(together) is None
    return alone, together


def assert_alike(alone, together, atol=1e-9):
    for one, other in zip(alone, together, strict=True):
        assert other.state.global_step == one.state.global_step
        start = {name: weight.abs().max() for name, weight in trained_weights(one).items() if "lora_B" in name}
        assert all(largest > 1e-4 for largest in start.values())  # which began at 0
        torch.testing.assert_close(trained_weights(other), trained_weights(one), rtol=0, atol=atol)


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_weights_are_those_of_the_trainers_own_loop(kind, accumulation, clones_of):
    model_init, rows = adapters_of(kind), token_rows(UNEVEN)
    alone, together = both_ways(
        lambda: clones_of(model_init, rows, gradient_accumulation_steps=accumulation, optim="adamw_torch")
    )
    assert len({clone.state.global_step for clone in together}) > 1
    assert_alike(alone, together)
    # Each has its weights to itself again, and the base is as it was.
    storages = [weight.untyped_storage() for clone in together for weight in trained_weights(clone).values()]
    assert all(
        storage.nbytes() == weight.nbytes
        for storage, weight in zip(
            storages, [w for clone in together for w in trained_weights(clone).values()], strict=True
        )
    )
    for one, other in zip(alone[0].model.parameters(), together[1].model.parameters(), strict=True):
        assert one.requires_grad or one.data_ptr() == other.data_ptr()


@pytest.mark.parametrize("average", ["token", "example"])
def test_by_sgd_with_either_mean(average, clones_of):
    model_init, rows = adapters_of("llama"), token_rows(UNEVEN)
    settings = {"optim": "sgd", "learning_rate": 0.1, "loss_average": average}
    assert_alike(*both_ways(lambda: clones_of(model_init, rows, **settings)))


@pytest.mark.parametrize("lengths", [[9] * 32, UNEVEN], ids=["one length", "many"])
def test_dropout_draws_what_each_would_draw_alone(lengths, clones_of):
    model_init, rows = adapters_of("gpt2", dropout=0.2), token_rows(lengths)
    alone, together = both_ways(lambda: clones_of(model_init, rows))
    assert_alike(alone, together)
    undropped = adapters_of("gpt2")
    other = clones_of(undropped, rows)
    assert train_stacked(other) is None
    assert not torch.allclose(
        *(next(iter(trained_weights(each[0]).values())) for each in (other, together)), atol=1e-5
    )


def test_one_alone_is_a_stack_too(clones_of):
    model_init, rows = adapters_of("llama"), token_rows(UNEVEN)
    assert_alike(*both_ways(lambda: clones_of(model_init, rows, (13,))))


def test_where_memory_holds_two_the_others_follow(clones_of, monkeypatch):
    monkeypatch.setattr(stacked, "most_at_once", lambda training: 2)
    model_init, rows = adapters_of("llama"), token_rows(UNEVEN)
    assert_alike(*both_ways(lambda: clones_of(model_init, rows, (8, 12, 8, 9, 8), num_train_epochs=1)))


def test_in_float32_signals_agree_to_rounding(clones_of):
    model_init, rows = adapters_of("llama", dtype=torch.float32), token_rows(UNEVEN)
    alone, together = both_ways(lambda: clones_of(model_init, rows, optim="sgd", learning_rate=0.1))
    for one, other in zip(alone, together, strict=True):
        found, expected = (compute_signals(clone.model, rows) for clone in (other, one))
        for name, values in expected.items():
            if name not in ("correct", "min_k", "min_k_plus_plus"):  # steps, where two tokens change places
                np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_classifiers_with_bases_and_heads_of_their_own(name, clones_of):
    def model_init():
        state = torch.get_rng_state()
        base = tiny_model(name).double()  # the same each time, and another copy
        torch.set_rng_state(state)
        head = base.classifier if name == "bert" else base.score
        head.weight.data.normal_(std=0.1)
        return attach_lora(base, {"r": 2, "target_modules": "all-linear"}, task="text-classification").double()

    alone, together = both_ways(lambda: clones_of(model_init, tiny_data(name, 32)))
    assert_alike(alone, together)
    shared = [
        {weight.data_ptr() for name, weight in clone.model.named_parameters() if "base_layer" in name}
        for clone in together
    ]
    assert shared[0] == shared[1] == shared[2]


# What each defence of a language model is given here; the sides of a target need one that is reached.
GIVEN = {
    "relax_loss": {"alpha": 4.0},
    "demem": {"variance_weight": 0.4, "minus_base": True},
    "dp": {"noise_multiplier": 1.0, "accountant": "rdp", "lr_scheduler_type": "constant"},
}
REFUSED = {
    "dp": "are differentially private",
    "duolearn": r"train in their own way \(DuoLearnTrainer.train\)",
    "soft": r"train in their own way \(SOFTTrainer.train\)",
}


@pytest.mark.parametrize("name", [name for name in DEFENSES if "causal-lm" in trainer_class(name).tasks])
def test_every_defence_trains_side_by_side_as_alone_or_says_why_not(name, clones_of):
    if trainer_class(name).is_private:
        pytest.importorskip("opacus")
    model_init, rows = adapters_of("llama"), token_rows([*UNEVEN[:16], *UNEVEN[15::-1]], seed=2).halved()
    settings = {"kind": trainer_class(name), "per_device_train_batch_size": 8, **GIVEN.get(name, {})}

    def make():
        return clones_of(model_init, rows, (8, 12), **settings)

    if name in REFUSED:
        clones = make()
        assert why_not_stacked(clones[0]) == train_stacked(clones)
        with pytest.raises(AssertionError, match=REFUSED[name]):
            raise AssertionError(train_stacked(clones))
    else:
        assert_alike(*both_ways(make))


def test_a_loss_that_runs_the_model_itself_is_left_to_it(clones_of):
    class OwnPass(PrivacyTrainer):
        def training_loss(self, model, inputs):
            logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])["logits"]
            return self.task.mean_loss({"logits": logits}, inputs, average="example"), None

    clones = clones_of(adapters_of("llama"), token_rows(UNEVEN), kind=OwnPass)
    assert train_stacked(clones) == "have a loss that runs the model in its own way"


def test_a_layer_that_looks_past_its_rows_is_found_out(clones_of):
    """DoRA's norm is of the product of its factors, which a layer makes of rows that are no rows of the batch."""
    model_init, rows = adapters_of("llama", use_dora=True), token_rows(UNEVEN)
    clones = clones_of(model_init, rows)
    reason = train_stacked(clones)
    if reason is None:  # a peft that makes it in another way
        alone = clones_of(model_init, rows)
        for clone in alone:
            clone.train()
        assert_alike(alone, clones)
    else:
        assert reason.startswith(("have other gradients side by side", "have a model that cannot run as one"))


def test_what_shows_before_training(clones_of):
    rows = token_rows(UNEVEN)
    full = clones_of(lambda: adapters_of("llama")().get_base_model().requires_grad_(), rows)
    assert why_not_stacked(full[0]) == "are no adapters of one base"
    checkpointing = clones_of(adapters_of("llama"), rows, gradient_checkpointing=True)
    assert why_not_stacked(checkpointing[0]) == "have gradient_checkpointing"
    head = clones_of(adapters_of("llama", modules_to_save=["lm_head"]), rows)
    assert train_stacked(head) == "train the model's head"


def test_how_many_side_by_side(clones_of, monkeypatch):
    (trainer,) = clones_of(adapters_of("llama"), token_rows(UNEVEN), (8,))
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(4), raising=False)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    assert [most_stacked(trainer, missing) for missing in (1, 2, 3, 16, 40)] == [1, 1, 2, 8, 8]
    assert [most_stacked(trainer, 16, stack) for stack in (1, 3)] == [1, 3]
    trainer.args.gradient_checkpointing = True
    with pytest.warns(UserWarning, match="one after another, not side by side: they have gradient_checkpointing"):
        assert most_stacked(trainer, 16) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once
        assert most_stacked(trainer, 16) == 1


# ---- in a store ----


class KillAtStep(TrainerCallback):
    """Ends the process at a step, as the system does."""

    armed_at: int | None = None

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == type(self).armed_at:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def run_in(tmp_path):
    """Give a function: four references of a language model, in the store of this name."""
    model_init = adapters_of("llama", dtype=torch.float32, folder=tmp_path / "base")
    rows = token_rows([*UNEVEN, 6, 6, 6, 6])

    def make(name, n_models=4, stack=None, callbacks=None, **arguments):
        args = PrivacyConfig(str(tmp_path / "target"), **{**EVERY_STEP, **arguments})
        split = MembershipSplit(range(16), range(16, 32), range(32, 36), n_examples=36, dataset_fingerprint="d")
        trainer = PrivacyTrainer(
            args=args, model_init=model_init, train_dataset=rows.subset(split.members), callbacks=callbacks
        )
        return reference_run(trainer, rows, split, tmp_path / name, n_models=n_models, stack=stack)

    return make


def assert_same_signals(run, other):
    for name in ("phi", "loss_sum", "mean_entropy"):
        np.testing.assert_allclose(run.store.read(name), other.store.read(name), rtol=1e-3, atol=1e-3)


def test_a_store_is_filled_side_by_side_as_one_after_another(run_in, monkeypatch):
    monkeypatch.setattr("hf_privacy.references.train.most_stacked", lambda trainer, missing, stack: stack or missing)
    together, alone = run_in("together"), run_in("alone", stack=1)
    together.train(keep_weights=True)
    alone.train()
    assert [together.store.info(number)["side_by_side"] for number in range(4)] == [4] * 4
    assert [alone.store.info(number)["side_by_side"] for number in range(4)] == [1] * 4
    assert_same_signals(together, alone)
    np.testing.assert_array_equal(together.store.membership(), alone.store.membership())
    again = compute_signals(together.kept_model(2), together.audit_dataset)["phi"]
    np.testing.assert_allclose(again[0], together.store.read("phi", models=[2])[0], atol=1e-4)


def test_what_another_process_is_at_is_left_to_it(run_in):
    run = run_in("store", stack=4)
    with run.store.claim(1) as claimed:
        assert claimed
        assert run.train_missing() == 3
        assert run.store.completed() == [0, 2, 3]


def test_what_was_cut_off_goes_on_by_itself(run_in):
    run, straight = (run_in(name, stack=4, save_strategy="epoch") for name in ("store", "straight"))
    straight.train()
    reference_trainer(
        run.trainer,
        run.train_pool.subset(run.plan.training_indices(1)),
        seed=run.plan.model_seed(1),
        output_dir=run.store.folder / "models" / "reference_0001",
    ).train()
    last = run.store.folder / "models" / "reference_0001" / "checkpoint-8"
    (last / "manifest.json").unlink()
    run.train()
    assert [run.store.info(number)["side_by_side"] for number in range(4)] == [3, 1, 3, 3]
    assert_same_signals(run, straight)
    assert not list(run.store.folder.glob("models/*"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_kill_frees_the_claims_and_loses_nothing(run_in):
    killed, straight = run_in("killed", stack=4, callbacks=[KillAtStep()]), run_in("straight", stack=4)

    def die():
        torch.set_num_threads(1)
        KillAtStep.armed_at = 3
        killed.train()

    process = multiprocessing.get_context("fork").Process(target=die)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert killed.store.completed() == []
    killed.train()
    straight.train()
    assert killed.store.completed() == [0, 1, 2, 3]
    assert_same_signals(killed, straight)
