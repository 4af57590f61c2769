"""What holds for every defence: it trains every kind of model, evaluates plainly, accumulates, and is mirrored."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import ViTImageProcessor

import hf_privacy
from hf_privacy.data import TensorDataset, collate_batch
from hf_privacy.defenses import (
    AdversarialConfig,
    AdversarialTrainer,
    CCLConfig,
    CCLTrainer,
    ConfidencePenaltyConfig,
    ConfidencePenaltyTrainer,
    DeMemConfig,
    DeMemTrainer,
    EarlyStoppingConfig,
    EarlyStoppingTrainer,
    HAMPConfig,
    HAMPTrainer,
    LabelSmoothingConfig,
    LabelSmoothingTrainer,
    PrivacyConfig,
    RelaxLossConfig,
    RelaxLossTrainer,
)
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.references import plan_references, recipe_hash, reference_trainer

ADVERSARIAL = {
    "objective": "mart",
    "epsilon": 0.02,
    "norm": "l2",
    "n_steps": 2,
    "step_size": 0.01,
    "random_start": False,
    "beta": 2.0,
    "inner_divergence": "reverse_kl",
    "awp_gamma": 0.01,
    "awp_warmup_epochs": 1,
}
# Each defence, and settings other than its defaults.
DEFENSES = {
    "adversarial": (AdversarialTrainer, AdversarialConfig, ADVERSARIAL),
    "demem": (DeMemTrainer, DeMemConfig, {**ADVERSARIAL, "variance_weight": 0.4, "control": "class_variance"}),
    "relax_loss": (
        RelaxLossTrainer,
        RelaxLossConfig,
        {"alpha": 0.3, "flattening": "soft_labels_only", "confidence_cap": 0.5, "detach_soft_labels": True},
    ),
    "hamp": (
        HAMPTrainer,
        HAMPConfig,
        {"gamma": 0.4, "alpha": 0.2, "kl_mean_over_classes": True, "n_random_inputs": 7},
    ),
    "ccl": (CCLTrainer, CCLConfig, {"alpha": 0.3, "beta": 0.7, "concave_term": "p"}),
    "label_smoothing": (LabelSmoothingTrainer, LabelSmoothingConfig, {"label_smoothing_factor": 0.4}),
    "confidence_penalty": (ConfidencePenaltyTrainer, ConfidencePenaltyConfig, {"beta": 0.5}),
    "early_stopping": (EarlyStoppingTrainer, EarlyStoppingConfig, {"patience": 2, "min_improvement": 0.1}),
}
# Adversarial training draws other starts for other batches; without them its own tests hold it to this too.
MEAN_LOSSES = [name for name in DEFENSES if name not in ("adversarial", "demem", "relax_loss", "early_stopping")]
CHANGES = [(name, key, value) for name, (_, _, changed) in DEFENSES.items() for key, value in changed.items()]
MODELS = ["tabular", "timm", "bert", "lora-bert"]


@pytest.fixture
def make_trainer(make_args, model_of, lora_model_of, data_of):
    """Give a function: ``make_trainer("ccl", "bert", max_steps=1)``."""

    def make(defense, family="tabular", *, model=None, model_init=None, data=None, **arguments):
        trainer_class, config_class, _ = DEFENSES[defense]
        is_lora = family.startswith("lora-")
        name = family.removeprefix("lora-")
        if model is None and model_init is None:
            model = lora_model_of(name) if is_lora else model_of(name)
        data = data_of(name) if data is None else data
        extra = {"validation_dataset": data_of(name, 6, seed=9)} if defense == "early_stopping" else {}
        if name == "timm":
            # Normalised pixels, as an attack needs them.
            data = data.with_tensors(
                {"pixel_values": data.column("pixel_values").clamp(-1, 1), "labels": data.column("labels")}
            )
            size = {"height": 8, "width": 8}
            extra["processing_class"] = ViTImageProcessor(size=size, image_mean=[0.5], image_std=[0.5])
        args = make_args(config_class, **arguments)
        return trainer_class(
            model, args, collate_batch, data, model_init=model_init, eval_dataset=data_of(name, 7), **extra
        )

    return make


@pytest.mark.filterwarnings("ignore:.*never moved")
@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("defense", DEFENSES)
def test_one_step_moves_every_trainable_tensor_and_no_frozen_one(defense, family, make_trainer):
    trainer = make_trainer(defense, family, max_steps=1, optim="sgd", learning_rate=1.0, max_grad_norm=0.0)
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    # LoRA's A gets a gradient through B, which starts at zero.
    trainable = {n for n, p in trainer.model.named_parameters() if p.requires_grad and "lora_A" not in n}
    trainer.train()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == trainable


@pytest.mark.parametrize("family", ["tabular", "bert"])
@pytest.mark.parametrize("defense", DEFENSES)
def test_trap_2_the_evaluation_loss_is_the_plain_cross_entropy(defense, family, make_trainer, data_of):
    trainer = make_trainer(defense, family, max_steps=2, per_device_eval_batch_size=4)
    trainer.train()
    batch = data_of(family, 7).__getitems__(range(7))
    labels = batch.pop("labels")
    with torch.no_grad():
        expected = float(F.cross_entropy(trainer.model.eval()(**batch)["logits"], labels))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("defense", MEAN_LOSSES)
def test_trap_1_eight_examples_at_once_and_two_times_four_move_the_weights_alike(defense, make_trainer, data_of):
    def movement(batch_size, accumulation):
        tensors = {name: data_of("tabular", 17).column(name) for name in ("features", "labels")}
        data = TensorDataset({**tensors, "features": tensors["features"].double()})
        trainer = make_trainer(
            defense,
            data=data,
            optim="sgd",
            momentum=0.0,
            learning_rate=0.1,
            max_grad_norm=0.0,
            num_train_epochs=1,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
        )
        trainer.model.double()
        start = [parameter.detach().clone() for parameter in trainer.model.parameters()]
        trainer.train()
        return torch.cat([(p.detach() - s).flatten() for p, s in zip(trainer.model.parameters(), start, strict=True)])

    # 17 examples: 3, 3, 3 | 3, 3, 2 against 9 | 8; unequal micro-batches count by their size.
    whole, cut = movement(9, 1), movement(3, 3)
    assert whole.abs().max() > 1e-4
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-6)


# ---- references ----


def mlp():
    return TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_reference_is_trained_with_the_same_defence_and_settings(defense, make_trainer, data_of, tmp_path):
    trainer_class, config_class, changed = DEFENSES[defense]
    target = make_trainer(defense, model_init=mlp, max_steps=1, **changed)
    clone = reference_trainer(target, data_of("tabular", 6), seed=4, output_dir=tmp_path / "reference")
    assert type(clone) is trainer_class
    assert type(clone.args) is config_class
    assert {name: getattr(clone.args, name) for name in changed} == changed
    clone.train()


@pytest.mark.parametrize(("defense", "key", "value"), CHANGES)
def test_each_argument_of_a_defence_is_part_of_the_recipes_hash(defense, key, value, make_trainer):
    plan = plan_references(np.arange(12) % 3, n_models=2)
    hashes = [
        recipe_hash(make_trainer(defense, model_init=mlp, **changed), plan, dataset_fingerprint="d", pool_hash="p")
        for changed in ({}, {}, {key: value})
    ]
    assert hashes[0] == hashes[1] != hashes[2]


# ---- what a defence says of itself ----


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_defence_names_its_paper_and_every_argument_it_has(defense):
    trainer_class, config_class, changed = DEFENSES[defense]
    assert trainer_class.defense_name == defense
    assert trainer_class.config_class is config_class
    assert trainer_class.paper.keys() == {"title", "id", "citation"}
    inherited = {f.name for f in fields(PrivacyConfig)}
    own = {f.name for f in fields(config_class)} - inherited
    # Label smoothing's one argument is the stock Trainer's.
    assert set(changed) == (own or {"label_smoothing_factor"})
    assert set(trainer_class.search_space) <= set(changed)
    assert set(trainer_class.paper_defaults) <= set(changed)
    assert all(f.metadata["help"] for f in fields(config_class) if f.name in own)


@pytest.mark.parametrize("defense", DEFENSES)
def test_the_report_shows_every_argument_that_was_used(defense, make_trainer):
    _, _, changed = DEFENSES[defense]
    assert make_trainer(defense, **changed).describe_defense()["parameters"] == changed


# What each paper gives, by our reading of it; whatever else a config has is ours or the authors' code's.
OF_THE_PAPERS = {
    "adversarial": {"epsilon", "norm", "n_steps", "step_size", "random_start"},
    "demem": {"epsilon", "norm", "n_steps", "step_size", "random_start", "beta", "variance_weight"},
    "relax_loss": {"alpha"},
    "hamp": {"gamma", "alpha"},
    "ccl": {"alpha", "beta"},
    "label_smoothing": {"label_smoothing_factor"},
    "confidence_penalty": {"beta"},
    "early_stopping": set(),
}


@pytest.mark.parametrize("defense", DEFENSES)
def test_the_papers_defaults_hold_what_the_paper_gives_and_nothing_of_ours(defense):
    assert set(DEFENSES[defense][0].paper_defaults) == OF_THE_PAPERS[defense]


def test_an_adversarial_trainer_has_the_settings_of_its_objectives_paper(make_trainer):
    trainer = make_trainer("adversarial", objective="trades")
    assert trainer.paper["id"] == "arXiv:1901.08573"
    assert trainer.paper_defaults["beta"] == 6.0
    assert "beta" not in make_trainer("adversarial").paper_defaults


@pytest.mark.parametrize("defense", DEFENSES)
def test_the_papers_settings_and_the_whole_search_space_are_accepted(defense, make_args):
    trainer_class, config_class, _ = DEFENSES[defense]
    make_args(config_class, **trainer_class.paper_defaults)
    for key, values in trainer_class.search_space.items():
        for value in values:
            assert getattr(make_args(config_class, **{key: value}), key) == value


@pytest.mark.parametrize("defense", DEFENSES)
def test_the_pair_is_exported_at_the_top(defense):
    trainer_class, config_class, _ = DEFENSES[defense]
    for exported in (trainer_class, config_class):
        assert getattr(hf_privacy, exported.__name__) is exported
        assert exported.__name__ in hf_privacy.__all__


@pytest.mark.parametrize("defense", DEFENSES)
def test_arguments_of_another_defence_are_refused(defense, make_args, model_of, data_of):
    trainer_class, config_class, _ = DEFENSES[defense]
    extra = {"validation_dataset": data_of("tabular")} if defense == "early_stopping" else {}
    with pytest.raises(InputError, match=f"args is PrivacyConfig: pass a {config_class.__name__}"):
        trainer_class(model_of("tabular"), make_args(), train_dataset=data_of("tabular"), **extra)


NOT_A_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("config_class", "given", "message"),
    [
        (RelaxLossConfig, {"alpha": -0.1}, r"alpha is -0.1: pass a number in \[0, ∞\)"),
        (RelaxLossConfig, {"alpha": NOT_A_NUMBER}, "alpha is nan"),
        (RelaxLossConfig, {"alpha": float("inf")}, "alpha is inf"),
        (RelaxLossConfig, {"alpha": "1.0"}, "alpha is '1.0'"),
        (RelaxLossConfig, {"flattening": "flat"}, "flattening is 'flat': pass 'with_ascent' or 'soft_labels_only'"),
        (RelaxLossConfig, {"confidence_cap": 0.0}, r"confidence_cap is 0.0: pass a number in \(0, 1\]"),
        (RelaxLossConfig, {"confidence_cap": 1.1}, "confidence_cap is 1.1"),
        (HAMPConfig, {"gamma": 1.0}, r"gamma is 1.0: pass a number in \[0, 1\)"),
        (HAMPConfig, {"gamma": -0.5}, "gamma is -0.5"),
        (HAMPConfig, {"alpha": -1.0}, "alpha is -1.0"),
        (HAMPConfig, {"n_random_inputs": 0}, "n_random_inputs is 0: pass a whole number of at least 1"),
        (CCLConfig, {"alpha": 1.1}, r"alpha is 1.1: pass a number in \[0, 1\]"),
        (CCLConfig, {"beta": 0.0}, r"beta is 0.0: pass a number in \(0, ∞\)"),
        (CCLConfig, {"concave_term": "log"}, "concave_term is 'log': pass 'exp_p' or 'p'"),
        (ConfidencePenaltyConfig, {"beta": -1.0}, "beta is -1.0"),
        (LabelSmoothingConfig, {"label_smoothing_factor": 1.0}, r"label_smoothing_factor is 1.0: pass .* \(0, 1\)"),
        (EarlyStoppingConfig, {"patience": 1.5}, "patience is 1.5: pass a whole number of at least 1"),
        (EarlyStoppingConfig, {"min_improvement": -0.1}, "min_improvement is -0.1"),
        *[
            (config_class, {"label_smoothing_factor": 0.1}, "label_smoothing_factor is 0.1: .* sets the training loss")
            for config_class in (RelaxLossConfig, HAMPConfig, CCLConfig, ConfidencePenaltyConfig)
        ],
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_refused_in_one_sentence(config_class, given, message, make_args):
    with pytest.raises(InputError, match=message) as refused:
        make_args(config_class, **given)
    assert "\n" not in str(refused.value)
