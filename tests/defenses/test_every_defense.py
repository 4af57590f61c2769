"""What holds for every defence in the table, over every task it declares: a new one is held to it by being there."""

from __future__ import annotations

import re
import secrets
from dataclasses import MISSING, fields
from functools import partial

import numpy as np
import pytest
import torch
from second_device import StepWaits, assert_trains_alike, second_device
from tiny_language import language_model, token_rows
from tiny_models import tiny_data
from torch.nn import functional as F
from transformers import ViTImageProcessor

import hf_privacy
from hf_privacy import defenses
from hf_privacy.data import TensorDataset, collate_batch
from hf_privacy.defenses import DEFENSES, PrivacyConfig, PrivacyTrainer, trainer_class
from hf_privacy.defenses.demem.config import OF_THE_ATTACK
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.references import plan_references, recipe_hash, reference_trainer
from hf_privacy.tasks import TASKS

METHODS = [name for name in DEFENSES if name != "none"]
# Models of each task that every defence of it is tried on.
FAMILIES = {
    "tabular-classification": ["tabular"],
    "image-classification": ["timm"],
    "text-classification": ["bert", "lora-bert"],
    "causal-lm": ["language", "lora-language"],
}
TRIED = [(name, family) for name in DEFENSES for task in trainer_class(name).tasks for family in FAMILIES[task]]
# What each is tried on where one family will do.
HOMES = {name: "tabular" if "tabular-classification" in trainer_class(name).tasks else "language" for name in DEFENSES}
PLAIN = [pair for pair in TRIED if not pair[1].startswith("lora-")]
# Noise, random starts and the side of a target differ from batch to batch: their own tests hold them to this too.
MEAN_LOSSES = [
    name
    for name in METHODS
    if not trainer_class(name).is_private
    and name not in ("adversarial", "demem", "duolearn", "relax_loss", "early_stopping", "soft")
]
MEAN_LOSSES = [(name, family) for name, family in TRIED if name in MEAN_LOSSES and family in ("tabular", "language")]


def required(name):
    """What a config must be given: a private one its noise."""
    if not trainer_class(name).is_private:
        return {}
    pytest.importorskip("opacus")
    return {"noise_multiplier": 1.0, "accountant": "rdp"}


def own_fields(name):
    """The fields that a defence's config adds, and stock ones that the paper sets."""
    kind = trainer_class(name)
    inherited = {field.name for field in fields(PrivacyConfig)}
    of_the_paper = kind.paper_defaults
    return [f for f in fields(kind.config_class) if f.name not in inherited or f.name in of_the_paper]


def candidates(name, field, make_args):
    """Values to try for a field: what a search covers, then others of its type, then what its refusal names."""
    default = field.default
    yield from trainer_class(name).search_space.get(field.name, [])
    if isinstance(default, bool):
        yield not default
    elif isinstance(default, str):
        with pytest.raises(InputError) as refused:
            make_args(name, **{field.name: "no such choice"})
        yield from re.findall(r"'(\w+)'", str(refused.value).partition(": pass")[2])
    elif isinstance(default, int):
        yield from (default + 1, default + 2)
    else:
        yield from (0.5 * (default or 0.0), 0.125, 1.5, "class_variance")


# What a defence keeps at its default where it is tried here: its guarantee or its task allows no other value.
FIXED = {
    ("dp_adversarial", "awp_gamma"),
    ("demem", "minus_base"),
    ("duolearn", "reference_model"),
    *((name, key) for name in ("dp", "dp_adversarial") for key in ("max_rows_per_group", "larger_groups")),
}
CHANGES = {name: [f.name for f in own_fields(name) if (name, f.name) not in FIXED] for name in METHODS}


@pytest.fixture
def args_of(make_args):
    """Give a function: ``args_of("ccl", alpha=0.3)``."""

    def make(name, **arguments):
        return make_args(trainer_class(name).config_class, **{**required(name), **arguments})

    return make


@pytest.fixture
def another(args_of):
    """Give a function: a value of a defence's argument that is accepted and is not the default one."""

    def find(name, key):
        (field,) = [field for field in own_fields(name) if field.name == key]
        usual = getattr(args_of(name), key)
        for value in candidates(name, field, args_of):
            try:
                if value != usual and getattr(args_of(name, **{key: value}), key) == value:
                    return value
            except InputError:
                continue
        pytest.fail(f"{name}: no second value of {key} is accepted; name some in search_space")

    return find


LENGTHS = (9, 4, 12, 2, 7, 5, 11, 3, 8, 10, 6, 9, 4, 12, 2, 7, 5)


def rows_of(family, n=8, *, seed=0):
    """So many rows for a model of this family."""
    if family == "language":
        rows = token_rows([*LENGTHS[:n], *LENGTHS[1:n], 6], seed=seed).halved()  # with paraphrases
    else:
        rows = tiny_data(family, n, seed=seed)
    return rows.with_groups(np.arange(n))


def untrained(family):
    """A model of this family as a reference starts from it."""
    if family == "language":
        return language_model("llama", spread=0.05)
    return TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))


@pytest.fixture
def make_trainer(args_of, model_of, lora_model_of):
    """Give a function: ``make_trainer("ccl", "bert", max_steps=1)``."""

    def make(defense, family=None, *, model=None, model_init=None, data=None, **arguments):
        kind = trainer_class(defense)
        family = HOMES[defense] if family is None else family
        name = family.removeprefix("lora-")
        if model is None and model_init is None:
            if name == "language":
                model = language_model("llama", lora=name != family, spread=0.05)
            else:
                model = lora_model_of(name) if family.startswith("lora-") else model_of(name)
        data = rows_of(name) if data is None else data
        extra = {"validation_dataset": rows_of(name, 6, seed=9)} if kind.needs_validation else {}
        if name == "timm":
            # Normalised pixels, as an attack needs them.
            data = data.with_tensors(
                {"pixel_values": data.column("pixel_values").clamp(-1, 1), "labels": data.column("labels")}
            )
            size = {"height": 8, "width": 8}
            extra["processing_class"] = ViTImageProcessor(size=size, image_mean=[0.5], image_std=[0.5])
        return kind(
            model,
            args_of(defense, **arguments),
            collate_batch,
            data,
            model_init=model_init,
            eval_dataset=rows_of(name, 7),
            **extra,
        )

    return make


@pytest.mark.filterwarnings("ignore:.*never moved")
@pytest.mark.parametrize(("defense", "family"), TRIED)
def test_one_step_moves_every_trainable_tensor_and_no_frozen_one(defense, family, make_trainer):
    trainer = make_trainer(defense, family, max_steps=1, optim="sgd", learning_rate=1.0)
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainable = {name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad}
    trainer.train()
    moved = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
    # LoRA's A gets a gradient through B, which starts at zero.
    assert {name for name in trainable if "lora_A" not in name} <= moved <= trainable


@pytest.mark.parametrize(("defense", "family"), PLAIN)
def test_trap_2_the_evaluation_loss_is_the_plain_cross_entropy(defense, family, make_trainer):
    trainer = make_trainer(defense, family, max_steps=2, per_device_eval_batch_size=4)
    trainer.train()
    batch = rows_of(family, 7).__getitems__(range(7))
    labels = batch.pop("labels")
    with torch.no_grad():
        logits = trainer.model.eval()(**batch)["logits"]
    if family == "language":
        rows = [
            F.cross_entropy(of_row[:-1], targets[1:], reduction="none")[targets[1:] >= 0]
            for of_row, targets in zip(logits, labels, strict=True)
        ]
        by_row = torch.stack([losses.mean() for losses in rows])
        expected = float(by_row.mean() if trainer.loss_average == "example" else torch.cat(rows).mean())
    else:
        expected = float(F.cross_entropy(logits, labels))
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("defense", "family"), MEAN_LOSSES)
def test_trap_1_eight_examples_at_once_and_two_times_four_move_the_weights_alike(defense, family, make_trainer):
    def movement(batch_size, accumulation):
        data = rows_of(family, 17)
        if family == "tabular":
            tensors = {name: data.column(name) for name in ("features", "labels")}
            data = TensorDataset({**tensors, "features": tensors["features"].double()})
        trainer = make_trainer(
            defense,
            family,
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


# Those whose loss is drawn, private ones and those that say of themselves that they couple rows are left out.
BY_ROW = [
    (name, family)
    for name, family in TRIED
    if family in ("tabular", "language")
    and not (trainer_class(name).is_private or trainer_class(name).couples_rows or name == "adversarial")
]


@pytest.mark.parametrize(("defense", "family"), BY_ROW)
def test_a_defence_that_couples_no_rows_gives_each_the_loss_it_has_alone(defense, family, make_trainer):
    trainer = make_trainer(defense, family)
    model, rows = trainer.model.eval(), rows_of(family)  # without dropout
    parts = [rows.__getitems__([row]) for row in range(8)]
    losses = torch.stack([trainer.training_loss(model, part)[0] for part in parts])
    counts = torch.tensor([float(trainer.task.count(part, average=trainer.loss_average)) for part in parts])
    whole, _ = trainer.training_loss(model, rows.__getitems__(range(8)))
    torch.testing.assert_close(whole, (losses * counts).sum() / counts.sum(), rtol=1e-5, atol=1e-5)


def gradient_beside(trainer, rows):
    """Gradient of the summed losses of these rows as one batch."""
    batch = trainer.train_dataset.__getitems__(rows)
    loss, _ = trainer.training_loss(trainer.model.train(), batch)
    parameters = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss * len(rows), parameters, allow_unused=True)
    return torch.cat([g.flatten() for g in found if g is not None])


def pull_of_the_mates(trainer):
    """How much the part of a batch's gradient that is two rows' moves when their batch-mates are others."""
    own, first, second = [0, 3], [1, 4], [2, 5]
    beside = [gradient_beside(trainer, own + mates) - gradient_beside(trainer, mates) for mates in (first, second)]
    return float((beside[0] - beside[1]).norm() / gradient_beside(trainer, own).norm())


@pytest.mark.parametrize(("defense", "family"), BY_ROW)
def test_who_does_not_say_that_it_couples_rows_gives_each_its_own_gradient(defense, family, make_trainer):
    of_rows = family == "language" and trainer_class(defense).training_loss is PrivacyTrainer.training_loss
    more = {"loss_average": "example"} if of_rows else {}
    assert pull_of_the_mates(make_trainer(defense, family, **more)) < 1e-4


@pytest.mark.parametrize("family", ["tabular", "language"])
def test_who_says_so_pulls_a_row_by_its_mates(family, make_trainer):
    assert trainer_class("demem").couples_rows
    more = {"epsilon": 0.0} if family == "tabular" else {}
    assert pull_of_the_mates(make_trainer("demem", family, **more)) > 1e-3


# ---- references ----


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_reference_is_trained_with_the_same_defence_and_settings(defense, make_trainer, another, tmp_path):
    family = HOMES[defense]
    for changed in [{}, *({key: another(defense, key)} for key in CHANGES.get(defense, []))]:
        target = make_trainer(defense, model_init=partial(untrained, family), max_steps=1, **changed)
        clone = reference_trainer(target, rows_of(family), seed=4, output_dir=tmp_path / "reference")
        assert type(clone) is type(target)
        assert type(clone.args) is type(target.args)
        assert {name: getattr(clone.args, name) for name in changed} == changed
    clone.train()


@pytest.mark.parametrize(("defense", "key"), [(name, key) for name, keys in CHANGES.items() for key in keys])
def test_each_argument_of_a_defence_is_part_of_the_recipes_hash_and_of_the_report(defense, key, make_trainer, another):
    plan = plan_references(np.arange(12) % 3, n_models=2)
    changed = {key: another(defense, key)}
    model_init = partial(untrained, HOMES[defense])
    trainers = [make_trainer(defense, model_init=model_init, **arguments) for arguments in ({}, {}, changed)]
    hashes = [recipe_hash(trainer, plan, dataset_fingerprint="d", pool_hash="p") for trainer in trainers]
    assert hashes[0] == hashes[1] != hashes[2]
    assert trainers[2].describe_defense()["parameters"][key] == changed[key]


# ---- on another device ----

# Settings whose code the defaults do not reach.
FURTHER = {
    "adversarial": {"epsilon": 0.05, "n_steps": 2, "objective": "mart", "awp_gamma": 0.01},
    "demem": {"epsilon": 0.05, "n_steps": 2, "control": "class_variance"},
    "relax_loss": {"alpha": 2.0},
}


@pytest.mark.parametrize("defense", [name for name in DEFENSES if not trainer_class(name).is_private])
def test_a_defence_does_not_depend_on_where_the_model_lies_and_waits_for_no_device(defense, make_trainer, model_of):
    settings = {"num_train_epochs": 2, "optim": "adamw_torch", "max_grad_norm": 0.0, **FURTHER.get(defense, {})}
    family = HOMES[defense]
    start, waits = model_of("tabular") if family == "tabular" else untrained(family), StepWaits()

    def trained(model):
        trainer = make_trainer(
            defense, model=model, data=rows_of(family, 17 if family == "language" else 24), **settings
        )
        trainer.add_callback(waits)
        trainer.train()
        return {key: parameter.detach().cpu() for key, parameter in trainer.model.named_parameters()}

    assert_trains_alike(start, trained)
    # Of a step in the middle; a model itself asks whether anything is masked.
    assert [wait for wait in waits.of_steps[1] if "masking_utils" not in wait] == []


def test_a_loss_that_is_read_at_each_step_is_seen_to_wait(make_args, model_of):
    class Reading(PrivacyTrainer):
        def training_loss(self, model, inputs):
            loss, outputs = super().training_loss(model, inputs)
            return loss * (1.0 if loss < 1e9 else 0.0), outputs

    waits = StepWaits()
    with second_device(training=True) as device:
        args = make_args(max_steps=2, optim="adamw_torch", max_grad_norm=0.0)
        Reading(
            model_of("tabular").to(device), args, train_dataset=tiny_data("tabular", 24), callbacks=[waits]
        ).train()
    assert len(waits.of_steps[1]) == 1
    assert "_local_scalar_dense" in waits.of_steps[1][0]


# ---- the lean loop, by which references are trained ----

# The last batch is smaller, the last step has fewer batches, gradients are clipped, the rate warms up and falls.
EVERY_STEP = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "max_grad_norm": 0.5,
    "optim": "adamw_torch",
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "lr_scheduler_type": "linear",
    "warmup_steps": 2,
    "gradient_accumulation_steps": 3,
}
LEAN = PrivacyTrainer.train_lean
LEAN_TRIED = [*HOMES.items(), ("none", "timm"), ("none", "bert"), ("demem", "language")]


@pytest.fixture
def weights_by(make_trainer, monkeypatch):
    """Give a function: the weights that ``how(trainer)`` trains, in float64, and the mean loss on the way."""

    def trained(how, defense, family, **settings):
        if trainer_class(defense).is_private:  # the same secret twice
            monkeypatch.setattr(secrets, "token_bytes", lambda n=32: bytes(n))
            settings.pop("gradient_accumulation_steps", None)
        trainer = make_trainer(defense, family, data=settings.pop("data", rows_of(family, 15)), **settings)
        trainer.model.double()
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.2
        before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
        torch.manual_seed(5)
        result = how(trainer)
        weights = {name: parameter.detach() for name, parameter in trainer.model.named_parameters()}
        assert any(not torch.equal(weights[name], before[name]) for name in weights)
        return weights, result.training_loss, trainer.state.global_step

    return trained


@pytest.mark.filterwarnings("ignore:.*never moved")
@pytest.mark.parametrize(("defense", "family"), LEAN_TRIED)
def test_the_lean_loop_gives_the_weights_of_the_trainers_own(defense, family, weights_by):
    # DeMem's variance of texts is that of eight rows at least.
    settings = EVERY_STEP | ({"per_device_train_batch_size": 8} if (defense, family) == ("demem", "language") else {})
    stock, lean = (weights_by(how, defense, family, **settings) for how in (lambda t: t.train(), LEAN))
    assert lean[2] == stock[2] > 1
    assert lean[1] == pytest.approx(stock[1], rel=1e-6)
    torch.testing.assert_close(lean[0], stock[0], rtol=0, atol=1e-5)


# ---- compiled, and in mixed precision ----

COMPILED = [name for name in DEFENSES if trainer_class(name).compiles]


@pytest.fixture
def end_of(make_trainer):
    """Give a function: the weights that a defence ends with, and how far they are from where it began."""

    def train(defense, **arguments):
        family = HOMES[defense]
        settings = {"max_steps": 2, "optim": "sgd", "learning_rate": 0.1, **FURTHER.get(defense, {}), **arguments}
        data = rows_of(family, 17 if family == "language" else 24)
        trainer = make_trainer(defense, model=untrained_alike(family), data=data, **settings)
        start = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
        trainer.train()
        end = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
        return end, float((end - start).norm())

    return train


def untrained_alike(family):
    torch.manual_seed(0)
    return untrained(family)


@pytest.mark.parametrize(
    "defense", [pytest.param(name, marks=pytest.mark.slow if HOMES[name] == "language" else []) for name in COMPILED]
)
def test_who_says_that_it_compiles_takes_the_same_steps_with_a_compiled_model(defense, end_of):
    torch.compiler.reset()
    end, moved = end_of(defense)
    compiled, _ = end_of(defense, torch_compile=True, torch_compile_backend="eager")
    assert moved > 1e-3
    torch.testing.assert_close(compiled, end, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("defense", [name for name in DEFENSES if not trainer_class(name).is_private])
def test_who_says_that_it_mixes_precision_goes_nearly_the_same_way_in_bfloat16(defense, end_of):
    assert trainer_class(defense).mixes_precision
    end, moved = end_of(defense)
    mixed, _ = end_of(defense, bf16=True)
    assert 0 < float((mixed - end).norm()) < 0.5 * moved


class Neither(PrivacyTrainer):
    compiles = mixes_precision = False


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"torch_compile": True}, "torch_compile is set and Neither does not run the compiled model, so that nothing"),
        ({"bf16": True}, "bf16 is set and Neither computes in float32 alone: leave it out"),
    ],
)
def test_who_does_not_say_so_refuses_it_before_training(given, message, make_args, model_of):
    with pytest.raises(InputError, match=message):
        Neither(model_of("tabular"), make_args(**given), train_dataset=tiny_data("tabular"))


# ---- what a defence says of itself ----


@pytest.mark.parametrize("defense", METHODS)
def test_a_defence_names_its_paper_and_tells_of_every_argument_it_has(defense):
    kind = trainer_class(defense)
    names = {field.name for field in own_fields(defense)}
    assert kind.defense_name == defense
    assert kind.paper.keys() == {"title", "id", "citation"}
    assert names
    assert set(kind.search_space) | set(kind.paper_defaults) <= names
    assert set(kind.tasks) <= set(TASKS)
    inherited = {field.name for field in fields(PrivacyConfig)}
    assert all(field.metadata["help"] for field in own_fields(defense) if field.name not in inherited)
    assert all(field.default is not MISSING for field in own_fields(defense))


@pytest.mark.parametrize("defense", METHODS)
def test_the_report_shows_every_argument_and_no_other(defense, make_trainer):
    names = {field.name for field in own_fields(defense)}
    assert set(make_trainer(defense).describe_defense()["parameters"]) == names
    if (defense, "language") in TRIED:
        unsaid = OF_THE_ATTACK.keys() if defense == "demem" else set()
        assert set(make_trainer(defense, "language").describe_defense()["parameters"]) == names - unsaid


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
    "goldfish": {"k", "context_width"},
    "soft": set(),
    "duolearn": {"hard_share", "memorized_share", "threshold", "alpha"},
}


@pytest.mark.parametrize("defense", OF_THE_PAPERS)
def test_the_papers_defaults_hold_what_the_paper_gives_and_nothing_of_ours(defense):
    assert set(trainer_class(defense).paper_defaults) == OF_THE_PAPERS[defense]


def test_an_adversarial_trainer_has_the_settings_of_its_objectives_paper(make_trainer):
    trainer = make_trainer("adversarial", objective="trades")
    assert trainer.paper["id"] == "arXiv:1901.08573"
    assert trainer.paper_defaults["beta"] == 6.0
    assert "beta" not in make_trainer("adversarial").paper_defaults


@pytest.mark.parametrize("defense", METHODS)
def test_the_papers_settings_and_the_whole_search_space_are_accepted(defense, args_of):
    kind = trainer_class(defense)
    args_of(defense, **kind.paper_defaults)
    for key, values in kind.search_space.items():
        for value in values:
            assert getattr(args_of(defense, **{key: value}), key) == value


@pytest.mark.parametrize("defense", DEFENSES)
def test_the_pair_is_exported_by_its_room_and_at_the_top(defense):
    kind = trainer_class(defense)
    for exported in (kind, kind.config_class):
        for package in (hf_privacy, defenses):
            assert getattr(package, exported.__name__) is exported
            assert exported.__name__ in package.__all__


@pytest.mark.parametrize("defense", METHODS)
def test_arguments_of_another_defence_are_refused(defense, make_args):
    kind, family = trainer_class(defense), HOMES[defense]
    extra = {"validation_dataset": rows_of(family)} if kind.needs_validation else {}
    with pytest.raises(InputError, match=f"args is PrivacyConfig: pass a {kind.config_class.__name__}"):
        kind(untrained(family), make_args(), train_dataset=rows_of(family), **extra)


NOT_A_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("defense", "given", "message"),
    [
        ("relax_loss", {"alpha": -0.1}, r"alpha is -0.1: pass a number in \[0, ∞\)"),
        ("relax_loss", {"alpha": NOT_A_NUMBER}, "alpha is nan"),
        ("relax_loss", {"alpha": float("inf")}, "alpha is inf"),
        ("relax_loss", {"alpha": "1.0"}, "alpha is '1.0'"),
        ("relax_loss", {"flattening": "flat"}, "flattening is 'flat': pass 'with_ascent' or 'soft_labels_only'"),
        ("relax_loss", {"confidence_cap": 0.0}, r"confidence_cap is 0.0: pass a number in \(0, 1\]"),
        ("relax_loss", {"confidence_cap": 1.1}, "confidence_cap is 1.1"),
        ("hamp", {"gamma": 1.0}, r"gamma is 1.0: pass a number in \[0, 1\)"),
        ("hamp", {"gamma": -0.5}, "gamma is -0.5"),
        ("hamp", {"alpha": -1.0}, "alpha is -1.0"),
        ("hamp", {"n_random_inputs": 0}, "n_random_inputs is 0: pass a whole number of at least 1"),
        ("ccl", {"alpha": 1.1}, r"alpha is 1.1: pass a number in \[0, 1\]"),
        ("ccl", {"beta": 0.0}, r"beta is 0.0: pass a number in \(0, ∞\)"),
        ("ccl", {"concave_term": "log"}, "concave_term is 'log': pass 'exp_p' or 'p'"),
        ("confidence_penalty", {"beta": -1.0}, "beta is -1.0"),
        ("label_smoothing", {"label_smoothing_factor": 1.0}, r"label_smoothing_factor is 1.0: pass .* \(0, 1\)"),
        ("duolearn", {"hard_share": 0.0}, r"hard_share is 0.0: pass a number in \(0, 1\]"),
        ("duolearn", {"memorized_share": 0.5}, "hard_share is 0.6 and memorized_share 0.5: a token is learnt or"),
        ("duolearn", {"threshold": NOT_A_NUMBER}, "threshold is nan"),
        ("duolearn", {"alpha": -0.1}, "alpha is -0.1"),
        ("duolearn", {"reference_model": 3}, "reference_model is 3: pass the folder of a saved model"),
        ("soft", {"warmup_epochs": 0}, "warmup_epochs is 0: pass a whole number of at least 1"),
        ("soft", {"replaced_share": 1.5}, r"replaced_share is 1.5: pass a number in \(0, 1\]"),
        ("soft", {"warmup_epochs": 3}, "num_train_epochs is 3.* and warmup_epochs 3: rows are replaced after"),
        ("goldfish", {"k": 1}, "k is 1: pass a whole number of at least 2"),
        ("goldfish", {"k": 2.5}, "k is 2.5"),
        ("goldfish", {"context_width": 0}, "context_width is 0"),
        ("goldfish", {"drop": "product"}, "drop is 'product': pass 'hash' or 'random'"),
        ("goldfish", {"hash_seed": -1}, "hash_seed is -1"),
        ("early_stopping", {"patience": 1.5}, "patience is 1.5: pass a whole number of at least 1"),
        ("early_stopping", {"min_improvement": -0.1}, "min_improvement is -0.1"),
        *[
            (defense, {"label_smoothing_factor": 0.1}, "label_smoothing_factor is 0.1: .* sets the training loss")
            for defense in (
                "relax_loss",
                "hamp",
                "ccl",
                "confidence_penalty",
                "dp",
                "adversarial",
                "goldfish",
                "duolearn",
            )
        ],
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_refused_in_one_sentence(defense, given, message, args_of):
    with pytest.raises(InputError, match=message) as refused:
        args_of(defense, **given)
    assert "\n" not in str(refused.value)
