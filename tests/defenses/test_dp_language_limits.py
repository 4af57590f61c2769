"""What DP training of language models refuses or gets right where others went wrong without a word."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_training
import torch
from peft import LoraConfig, get_peft_model
from tiny_language import SMALL, language_model, token_rows
from transformers import DataCollatorWithFlattening, MixtralConfig, MixtralForCausalLM

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import FrozenWeightsCallback, RelaxLossTrainer, WeightMotionError
from hf_privacy.defenses.dp.config import DPConfig
from hf_privacy.defenses.dp.per_sample_gradients import clipped_gradients
from hf_privacy.defenses.dp.trainer import DPTrainer
from hf_privacy.errors import InputError
from hf_privacy.tasks import task_named

pytest.importorskip("opacus")
LENGTHS = (9, 4, 12, 3, 7, 5)
MAX_NORM = 0.7


def losses(call, batch):
    return task_named("causal-lm").separate_losses(call, batch)


@pytest.fixture
def make_trainer(tmp_path):
    def make(model=None, *, rows=None, kind=DPTrainer, collator=None, **arguments):
        settings = {
            **small_training.QUIET, "output_dir": str(tmp_path / "run"), "optim": "sgd", "learning_rate": 0.1,
            "accountant": "rdp", "per_device_train_batch_size": 4, "noise_multiplier": 1.0, **arguments,
        }  # fmt: skip
        model = language_model("llama", lora=True, spread=0.05) if model is None else model
        rows = token_rows(LENGTHS * 2) if rows is None else rows
        return kind(model, DPConfig(**settings), collator, train_dataset=rows)

    return make


# ---- packing, experts, what couples rows ----


class Flattens:
    padding_free = True

    def __call__(self, rows):
        raise AssertionError("refused before")


@pytest.mark.parametrize("collator", [DataCollatorWithFlattening(), Flattens()], ids=["transformers", "trl"])
def test_a_collator_that_joins_rows_is_refused(collator, make_trainer):
    with pytest.raises(InputError, match=f"data_collator is {type(collator).__name__}: it joins rows into one, and"):
        make_trainer(collator=collator)


@pytest.mark.parametrize("name", ["packing", "padding_free"])
def test_arguments_that_pack_are_refused(name, make_trainer, monkeypatch):
    monkeypatch.setattr(DPConfig, name, True, raising=False)
    with pytest.raises(InputError, match=f"^{name} is set: it joins rows into one, and the unit of the guarantee is"):
        make_trainer()


def test_packed_rows_are_refused(make_trainer):
    rows = token_rows(LENGTHS)
    tensors = {name: rows.column(name) for name in rows.column_names}
    packed = TensorDataset({**tensors, "position_ids": tensors["input_ids"]})
    with pytest.raises(InputError, match="train_dataset has the column 'position_ids', which packed rows have: pass"):
        make_trainer(rows=packed)


def mixture(**more):
    torch.manual_seed(0)
    sizes = {**SMALL, "num_local_experts": 2, "num_experts_per_tok": 1}
    return MixtralForCausalLM(MixtralConfig(**sizes, **more))


def test_an_auxiliary_loss_of_experts_is_refused(make_trainer):
    with pytest.raises(InputError, match="config sets output_router_logits: the auxiliary loss of a mixture of exper"):
        make_trainer(mixture(output_router_logits=True))


def test_experts_without_it_get_each_rows_own_gradient(make_trainer):
    trainer = make_trainer(mixture(), max_steps=1)
    trainer.train()
    assert trainer.ledger.n_steps == 1


def test_a_coupling_defence_joined_with_dp_is_refused(make_trainer):
    class Both(DPTrainer, RelaxLossTrainer):
        config_class = DPConfig

    with pytest.raises(InputError, match="Both says that it couples_rows"):
        make_trainer(kind=Both)


# ---- gradient checkpointing ----


@pytest.mark.parametrize("way", ["auto", "bookkeeping", "functional"])
def test_checkpointing_as_an_argument_names_the_way_that_takes_it(way, make_trainer):
    with pytest.raises(InputError, match=r"gradient_checkpointing is set and per_sample_gradients is .* to 'loop'"):
        make_trainer(gradient_checkpointing=True, per_sample_gradients=way)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_checkpointing_of_the_model_itself_doubles_no_gradient(lora, reentrant):
    """Layers that are run again on the way back must not be written down twice."""
    batch = token_rows(LENGTHS).__getitems__(range(len(LENGTHS)))
    found = {}
    for checkpointed in (False, True):
        model = language_model("llama", lora=lora, spread=0.15).train()
        if checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        way = "auto" if checkpointed else "loop"
        with clipped_gradients(model, way, max_norm=MAX_NORM, losses=losses) as clipped_sum:
            clipped_sum.check(batch)
            found[checkpointed], _ = clipped_sum(batch)
    for one, other in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(one, other, rtol=2e-4, atol=2e-5)


# ---- every trainable tensor ----


def test_an_adapter_that_the_optimizer_holds_in_part_is_an_error(make_trainer):
    trainer = make_trainer(max_steps=2)
    held = [p for name, p in trainer.model.named_parameters() if p.requires_grad and "layers.1." not in name]
    trainer.optimizer = torch.optim.SGD(held, lr=0.1)
    with pytest.raises(
        WeightMotionError, match=r"does not hold 14 of 28 trainable tensors, to each of which noise .*layers\.1"
    ):
        trainer.train()
    assert trainer.ledger.n_steps == 0


def test_a_tensor_that_is_frozen_or_too_coarse_for_a_step_is_no_error(make_trainer):
    coarse = language_model("llama", spread=0.05).to(torch.bfloat16)  # its norms lie at 1
    # Torch 2.6's fused SGD leaves bfloat16 as it is on a CPU.
    trainer = make_trainer(coarse, max_steps=1, learning_rate=1e-3, optim="adamw_torch")
    name = "model.layers.0.self_attn.q_proj.weight"
    trainer.add_callback(FrozenWeightsCallback({name: torch.ones_like(coarse.get_parameter(name), dtype=torch.bool)}))
    with pytest.warns(UserWarning, match=r"of 21 trainable tensors never moved: .*input_layernorm"):
        trainer.train()
    assert trainer.ledger.n_steps == 1


def test_every_tensor_of_an_adapter_moves_from_its_start(make_trainer):
    model = language_model("gpt2", spread=0.05)
    model = get_peft_model(model, LoraConfig(target_modules="all-linear", r=2, task_type="CAUSAL_LM"))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer = make_trainer(model, max_steps=1)
    trainer.train()
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


# ---- weights that are shared, in half precision, gone on with ----


@pytest.mark.parametrize("way", ["bookkeeping", "functional", "loop"])
def test_the_sum_of_weights_in_half_precision_is_not_rounded_to_it(way):
    model = language_model("llama", spread=0.15).to(torch.bfloat16).train()
    batch = token_rows(LENGTHS).__getitems__(range(len(LENGTHS)))
    with clipped_gradients(model, way, max_norm=MAX_NORM, losses=losses) as clipped_sum:
        clipped_sum.check(batch)
        found, _ = clipped_sum(batch)
    assert {gradient.dtype for gradient in found} == {torch.float32}
    assert any((gradient != gradient.to(torch.bfloat16)).any() for gradient in found)


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_tied_weights_train_with_both_their_uses_and_stay_tied(lora, make_trainer):
    trainer = make_trainer(language_model("qwen2", lora=lora, spread=0.05), max_steps=1)
    trainer.train()
    model = trainer.model.get_base_model() if lora else trainer.model
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert trainer.ledger.n_steps == 1


def test_a_resumed_run_goes_on_from_what_was_spent(make_trainer):
    rows = token_rows(LENGTHS * 2).with_groups(np.repeat(np.arange(4), 3))
    settings = {
        "rows": rows, "privacy_unit": "group", "per_device_train_batch_size": 2, "save_strategy": "steps",
        "save_steps": 2, "num_train_epochs": 3, "max_rows_per_group": 2, "larger_groups": "draw",
    }  # fmt: skip
    whole = make_trainer(**settings)
    whole.train()
    folder = Path(whole.args.output_dir)
    resumed = make_trainer(**settings)
    resumed.train(resume_from_checkpoint=str(folder / "checkpoint-4"))
    # Six steps of the first run were released; the two that were taken anew come on top.
    assert (whole.ledger.n_steps, resumed.ledger.n_steps) == (6, 8)
    assert resumed.privacy_spent()["unit"] == "group"
    assert resumed.privacy_spent()["epsilon"] > whole.privacy_spent()["epsilon"]
