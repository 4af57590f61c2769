"""What holds for every unlearner in the table, over every task it declares: a new one is held to it by being there."""

from __future__ import annotations

import copy
import json
from dataclasses import fields

import pytest
import torch
from killed import KillAt, KilledError
from second_device import StepWaits, assert_trains_alike
from tiny_language import language_model, token_rows
from tiny_models import tiny_data, tiny_lora_model, tiny_model

import hf_privacy
from hf_privacy import unlearning
from hf_privacy.defenses import PrivacyConfig
from hf_privacy.errors import InputError
from hf_privacy.models import load_model, load_saved_model
from hf_privacy.tasks import TASKS
from hf_privacy.unlearning import UNLEARNERS, UnlearningConfig, UnlearningTrainer, unlearner_class

# Models of each task that every unlearner of it is tried on.
FAMILIES = {
    "tabular-classification": ["tabular"],
    "image-classification": ["resnet"],
    "text-classification": ["lora-bert"],
    "causal-lm": ["language", "lora-language"],
}
TRIED = [(name, family) for name in UNLEARNERS for task in unlearner_class(name).tasks for family in FAMILIES[task]]
# What each is tried on where one family will do.
HOMES = {
    name: "tabular" if "tabular-classification" in unlearner_class(name).tasks else "language" for name in UNLEARNERS
}
LENGTHS = (9, 4, 12, 6, 7, 5, 11, 10, 8, 7)
# Settings under which it does something within a few steps.
SETTINGS = {
    "parameter_perturbation": {"fraction": 0.1},
    "remi": {"approximator_epochs": 2, "guard": False},
    "scrub": {"weight_decay": 0.1},  # where student and teacher are one, the divergence has no gradient
    "ssd": {"selection_weight": 1.0, "dampening": 0.5},
}
# What its constructor needs besides, made of the forget set.
BESIDE = {"dpo": lambda forget: {"alternative_dataset": token_rows(LENGTHS * 2, seed=9).subset(range(len(forget)))}}
# What each paper gives, by our reading of it; whatever else a config has is ours or the authors' code's.
OF_THE_PAPERS = {
    "dpo": {"beta": 0.1},
    "neg_grad_plus": {"beta": 0.95},
    "npo": {"beta": 0.1},
    "salun": {"fraction": 0.5},
    "satimp": {"beta1": 5.0, "beta2": 1.0},
    "simnpo": {"beta": 2.5, "forget_weight": 0.1375},
    "ssd": {"selection_weight": 10.0, "dampening": 1.0},
}


def has_epochs(name):
    """Whether there is a loss to minimise: an edit of the weights alone has none."""
    return unlearner_class(name).unlearning_loss is not UnlearningTrainer.unlearning_loss


def sets_of(family):
    data = token_rows(LENGTHS * 10) if family == "language" else tiny_data(family, 100)
    rows = {"forget": range(12), "retain": range(12, 60), "heldout": range(60, 100)}
    return {f"{name}_dataset": data.subset(numbers) for name, numbers in rows.items()}


def state(model):
    return {name: parameter.detach().cpu().clone() for name, parameter in model.named_parameters()}


def differ(one, other):
    return {name for name, values in one.items() if not torch.equal(values, other[name])}


@pytest.fixture
def model_of(tmp_path):
    def make(family):
        is_lora = family.startswith("lora-")
        if family == "language":
            return language_model("llama", spread=0.05)
        if family == "lora-language":
            language_model("llama", spread=0.05).save_pretrained(tmp_path / "base")
            adapted = load_model(
                tmp_path / "base", task="causal-lm", lora={"r": 2, "target_modules": "all-linear"}, seed=0
            )
            generator = torch.Generator().manual_seed(1)
            with torch.no_grad():  # as training leaves it: an adapter whose B is zero holds nothing to be forgotten
                for key, parameter in adapted.named_parameters():
                    if "lora_B" in key:
                        parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
            return adapted
        return tiny_lora_model(family.removeprefix("lora-"), tmp_path / "base") if is_lora else tiny_model(family)

    return make


@pytest.fixture
def make_trainer(make_args):
    """Give a function: ``make_trainer("salun", model, fraction=0.3)``."""

    def make(name, model, *, sets=None, callbacks=(), **arguments):
        kind = unlearner_class(name)
        settings = {"learning_rate": 0.05, "check_evidence": False, "per_device_train_batch_size": 4}
        if has_epochs(name):
            settings["num_train_epochs"] = 2
        args = make_args(kind.config_class, **{**settings, **SETTINGS.get(name, {}), **arguments})
        sets = sets or sets_of(HOMES[name])
        beside = BESIDE[name](sets["forget_dataset"]) if name in BESIDE else {}
        return kind(model, args, **sets, **beside, callbacks=list(callbacks))

    return make


@pytest.mark.parametrize(("name", "family"), TRIED)
def test_it_moves_what_is_trainable_and_nothing_else_and_is_saved_as_it_is(
    name, family, make_trainer, model_of, tmp_path
):
    sets = sets_of(family.removeprefix("lora-"))
    trainer = make_trainer(name, model_of(family), sets=sets, max_grad_norm=0.0)
    before, trainable = state(trainer.model), set(trainer.trainable())
    trainer.unlearn()
    after = state(trainer.model)
    moved = differ(before, after)
    assert moved
    assert moved <= trainable
    # One that marks single weights, or whose loss ends at a layer, leaves tensors as they were. LoRA's A gets a
    # gradient through B, which is zero.
    whole = {key for key in trainable - moved if "lora_A" not in key} == set()
    assert whole or hasattr(trainer, "mask") or hasattr(trainer, "layer")
    assert all(values.isfinite().all() for values in after.values())
    trainer.save_model(str(tmp_path / "saved"))
    again = state(load_saved_model(tmp_path / "saved"))
    # The head that peft copied and no longer uses is drawn anew whenever the base is loaded.
    assert not [key for key in differ(after, again) if ".original_module." not in key]


@pytest.mark.parametrize("name", UNLEARNERS)
def test_a_run_is_a_function_of_its_seed_killed_or_not(name, make_trainer, model_of, tmp_path):
    start, saving = model_of(HOMES[name]), {"save_strategy": "steps", "save_steps": 2, "seed": 3}

    def trainer(folder, *callbacks):
        model = copy.deepcopy(start)
        return make_trainer(name, model, output_dir=str(tmp_path / folder), callbacks=callbacks, **saving)

    whole, again = trainer("whole"), trainer("again", KillAt(3))
    whole.unlearn()
    if has_epochs(name):
        with pytest.raises(KilledError):
            again.unlearn()
        again = trainer("again")
    again.unlearn(resume_from_checkpoint=has_epochs(name))
    assert not differ(state(whole.model), state(again.model))


@pytest.mark.parametrize("name", UNLEARNERS)
def test_it_does_not_depend_on_where_the_model_lies_and_waits_for_no_device(name, make_trainer, model_of):
    # Adam's own ε makes a whole step of a gradient that is nothing but rounding, and that differs by device.
    settings = {"max_grad_norm": 0.0, "optim": "adamw_torch", "adam_epsilon": 1.0}
    start, waits = model_of(HOMES[name]), StepWaits()

    def unlearned(model):
        trainer = make_trainer(name, model, **settings)
        trainer.add_callback(waits)
        trainer.unlearn()
        return state(trainer.model)

    assert_trains_alike(start, unlearned)
    # Of a step in the middle; a model itself asks whether anything is masked.
    assert [wait for step in waits.of_steps[1:2] for wait in step if "masking_utils" not in wait] == []


# ---- what it refuses ----


@pytest.mark.parametrize("name", UNLEARNERS)
@pytest.mark.parametrize("part", ["forget_dataset", "retain_dataset"])
def test_no_rows_are_refused_in_one_sentence(name, part, make_trainer, model_of):
    sets = sets_of(HOMES[name])
    with pytest.raises(InputError, match=f"{part} is empty: an unlearner needs examples") as refused:
        make_trainer(name, model_of(HOMES[name]), sets={**sets, part: sets[part].subset([])})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", UNLEARNERS)
def test_held_out_rows_are_asked_for_by_those_alone_that_need_them(name, make_trainer, model_of):
    sets = {**sets_of(HOMES[name]), "heldout_dataset": None}
    if unlearner_class(name).needs_heldout:
        with pytest.raises(InputError, match=f"heldout_dataset is missing: {unlearner_class(name).__name__}"):
            make_trainer(name, model_of(HOMES[name]), sets=sets)
    else:
        make_trainer(name, model_of(HOMES[name]), sets=sets).unlearn()


@pytest.mark.parametrize("name", UNLEARNERS)
def test_arguments_of_training_are_refused(name, tmp_path, model_of):
    config = unlearner_class(name).config_class.__name__
    with pytest.raises(InputError, match=f"args is PrivacyConfig: pass a {config}"):
        unlearner_class(name)(model_of(HOMES[name]), PrivacyConfig(str(tmp_path)), **sets_of(HOMES[name]))


@pytest.mark.parametrize("name", [name for name in UNLEARNERS if not has_epochs(name)])
def test_an_edit_alone_has_no_epochs(name, make_args):
    with pytest.raises(InputError, match="num_train_epochs is 3"):
        make_args(unlearner_class(name).config_class, num_train_epochs=3)


# ---- what it says of itself ----


def own_fields(name):
    inherited = {field.name for field in fields(UnlearningConfig)}
    return {field.name: field for field in fields(unlearner_class(name).config_class) if field.name not in inherited}


@pytest.mark.parametrize("name", UNLEARNERS)
def test_the_report_names_it_its_paper_and_every_argument_it_has(name, make_trainer, model_of):
    described = make_trainer(name, model_of(HOMES[name]), learning_rate=0.125).describe_unlearning()
    json.dumps(described, allow_nan=False)
    assert described["name"] == name
    assert described["paper"]["id"].startswith("arXiv:")
    assert described["parameters"]["learning_rate"] == 0.125
    assert own_fields(name).keys() <= described["parameters"].keys()


@pytest.mark.parametrize("name", UNLEARNERS)
def test_its_class_says_what_recipes_searches_and_cards_read(name, make_args):
    kind = unlearner_class(name)
    assert kind.paper.keys() == {"title", "id", "citation"}
    assert set(kind.tasks) <= set(TASKS)
    assert kind.paper_defaults == OF_THE_PAPERS.get(name, {})
    assert all(field.metadata["help"] for field in own_fields(name).values())
    for key, values in {**kind.search_space, **{key: [value] for key, value in kind.paper_defaults.items()}}.items():
        for value in values:
            assert getattr(make_args(kind.config_class, **{key: value}), key) == value


@pytest.mark.parametrize("name", UNLEARNERS)
def test_the_pair_is_exported_by_its_room_and_at_the_top(name):
    kind = unlearner_class(name)
    for exported in (kind, kind.config_class):
        for package in (hf_privacy, unlearning):
            assert getattr(package, exported.__name__) is exported
            assert exported.__name__ in package.__all__
