"""Forgetting by a second adapter: the first stays as it is, the reference is the second off, and the end is one."""

from __future__ import annotations

import copy

import pytest
import torch
from killed import KillAt, KilledError
from tiny_language import language_model, token_rows

from hf_privacy.errors import InputError
from hf_privacy.models import load_model, load_saved_model
from hf_privacy.models.second_adapter import add_second_adapter, join_adapters
from hf_privacy.unlearning import NPOConfig, NPOTrainer

ROWS = token_rows((9, 4, 12, 6, 7, 5, 11, 10, 8, 7) * 2)
SETS = {"forget_dataset": ROWS.subset(range(8)), "retain_dataset": ROWS.subset(range(8, 20))}


@pytest.fixture
def adapted(tmp_path):
    """A saved base, and a trained adapter on it."""
    language_model("llama").save_pretrained(tmp_path / "base")
    lora = {"r": 2, "lora_alpha": 6, "lora_dropout": 0.3, "target_modules": "all-linear"}
    model = load_model(tmp_path / "base", task="causal-lm", lora=lora, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture
def trainer_of(make_args):
    def make(model, *callbacks, **arguments):
        settings = {"learning_rate": 0.05, "check_evidence": False, "per_device_train_batch_size": 4, "max_steps": 4}
        settings |= {"second_adapter": True, "retain_loss": "kl", "optim": "adamw_torch", **arguments}
        return NPOTrainer(model, make_args(NPOConfig, **settings), **SETS, callbacks=list(callbacks))

    return make


@torch.no_grad()
def logits_of(model):
    batch = ROWS.__getitems__([0, 5])
    return model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


def test_it_starts_from_the_models_function_and_ends_as_one_adapter_that_loads(
    adapted, trainer_of, tmp_path, monkeypatch
):
    before = logits_of(adapted)
    kept = {name: parameter.detach().clone() for name, parameter in adapted.named_parameters()}
    trainer, ends = trainer_of(adapted), []
    torch.testing.assert_close(logits_of(trainer.model), before)
    assert trainer.trainable()
    assert all(".second." in name for name in trainer.trainable())

    def join(model):
        found = dict(model.named_parameters())
        assert all(torch.equal(found[name], value) for name, value in kept.items())  # to the bit
        ends.append(logits_of(model))
        join_adapters(model)

    monkeypatch.setattr("hf_privacy.unlearning.base.language.join_adapters", join)
    trainer.unlearn()
    torch.testing.assert_close(logits_of(trainer.reference), before)
    after = logits_of(trainer.model)
    assert (after - before).abs().max() > 0.01
    torch.testing.assert_close(after, ends[0], rtol=1e-4, atol=1e-4)
    assert list(trainer.model.peft_config) == ["default"]
    assert trainer.model.peft_config["default"].r == 4
    trainer.save_model(str(tmp_path / "saved"))
    again = load_saved_model(tmp_path / "saved")
    torch.testing.assert_close(logits_of(again), after, rtol=1e-4, atol=1e-4)


def test_a_killed_run_goes_on_with_the_second_adapter(adapted, trainer_of, tmp_path):
    start = copy.deepcopy(adapted)
    saving = {"save_strategy": "steps", "save_steps": 2, "output_dir": str(tmp_path / "run"), "seed": 3}
    whole = trainer_of(adapted, seed=3)
    whole.unlearn()
    with pytest.raises(KilledError):
        trainer_of(copy.deepcopy(start), KillAt(3), **saving).unlearn()
    again = trainer_of(copy.deepcopy(start), **saving)
    again.unlearn(resume_from_checkpoint=True)
    for (name, value), other in zip(whole.model.named_parameters(), again.model.parameters(), strict=True):
        assert torch.equal(value, other), name


@pytest.mark.parametrize(
    "kind", [{"use_rslora": True}, {"rank_pattern": {"q_proj": 5}, "alpha_pattern": {"k_proj": 9}}]
)
def test_what_is_joined_is_what_was_trained_whatever_scale_the_adapters_have(adapted, tmp_path, kind):
    model = load_model(
        tmp_path / "base", task="causal-lm", lora={"r": 2, "target_modules": "all-linear", **kind}, seed=0
    )
    for seed in (1, 2):
        if seed == 2:
            add_second_adapter(model, seed=0)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    both = logits_of(model)
    join_adapters(model)
    torch.testing.assert_close(logits_of(model), both, rtol=1e-3, atol=1e-3)
    model.save_pretrained(tmp_path / "joined")
    torch.testing.assert_close(logits_of(load_saved_model(tmp_path / "joined")), both, rtol=1e-3, atol=1e-3)


def test_what_has_no_adapter_or_none_that_adds_up_is_refused(trainer_of, adapted):
    with pytest.raises(InputError, match="second_adapter is set and the LlamaForCausalLM has no adapter"):
        trainer_of(language_model("llama"))
    config = adapted.peft_config["default"]
    for name, value in {"bias": "all", "lora_bias": True, "trainable_token_indices": [1]}.items():
        usual = getattr(config, name)
        setattr(config, name, value)
        with pytest.raises(InputError, match="is no plain LoRA"):
            trainer_of(adapted)
        setattr(config, name, usual)


def test_a_model_is_left_as_it_was_by_arguments_that_are_refused(adapted, make_args):
    args = make_args(NPOConfig, second_adapter=True, check_evidence=False)
    with pytest.raises(InputError, match="retain_dataset"):
        NPOTrainer(adapted, args, SETS["forget_dataset"], None)
    assert list(adapted.peft_config) == ["default"]
