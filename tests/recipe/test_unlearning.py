"""A recipe's unlearning section: every method, every request, and what is refused before anything is changed."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
from tiny_tokenizers import byte_level, saved_language_model

from hf_privacy.data import ForgetRequest, example_ids
from hf_privacy.errors import InputError
from hf_privacy.recipe import (
    RETRAIN,
    Recipe,
    check_unlearning,
    prepare,
    request_of,
    requested_rows,
    start_model,
    unlearner,
    unlearning_arguments,
    unlearning_rows,
)
from hf_privacy.unlearning import UNLEARNERS, LanguageUnlearningTrainer, UnlearningTrainer, unlearner_class


@pytest.fixture(scope="session")
def people_file(tmp_path_factory) -> str:
    """80 rows, four to a person, and a column that neither model nor split reads."""
    rng = np.random.default_rng(0)
    rows = datasets.Dataset.from_dict(
        {
            "features": rng.normal(size=(80, 5)).round(4).tolist(),
            "label": (np.arange(80) % 3).tolist(),
            "person": [f"{i // 4}e3" for i in range(80)],
        }
    )
    path = tmp_path_factory.mktemp("people") / "people.parquet"
    rows.to_parquet(str(path))
    return str(path)


@pytest.fixture
def make(make_recipe, people_file):
    def make(**section) -> Recipe:
        data = {"population_fraction": 0.2, **section.pop("data", {})}
        training = {"learning_rate": 0.1, "optim": "sgd", "per_device_train_batch_size": 8, "save_strategy": "epoch"}
        section = {"method": "neg_grad_plus", "request": {"fraction": 0.2}, **section}
        return make_recipe(people_file, data=data, training=training, unlearning=section)

    return make


# ---- the section ----


@pytest.fixture
def spoken(tmp_path):
    """Of rows of text: ``spoken(method="npo")``."""

    def make(**section) -> Recipe:
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
        sizes |= {"max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
        base = saved_language_model(tmp_path / "base", byte_level(pad="<pad>"), "llama", **sizes)
        columns = {"prompt": [f"who is {i}?" for i in range(40)], "completion": [f"the cat {i}" for i in range(40)]}
        datasets.Dataset.from_dict(columns).to_parquet(str(tmp_path / "rows.parquet"))
        return Recipe.from_dict(
            {
                "task": "causal-lm",
                "output_dir": str(tmp_path / "run"),
                "model": {"name_or_path": str(base)},
                "data": {"name_or_path": str(tmp_path / "rows.parquet"), "near_repeats": False},
                "training": {"use_cpu": True, "learning_rate": 0.1},
                "audit": {"depth": "quick"},
                "unlearning": {"request": {"fraction": 0.2}, **section},
            }
        )

    return make


@pytest.mark.parametrize("method", sorted(UNLEARNERS))
def test_a_recipe_unlearns_with_the_method_it_names(method, make, spoken):
    is_tabular = "tabular-classification" in unlearner_class(method).tasks
    experiment = prepare((make if is_tabular else spoken)(method=method))
    rows = unlearning_rows(experiment, requested_rows(experiment, ForgetRequest(fraction=0.2)))
    trainer = unlearner(experiment, rows, experiment.model_init(), output_dir=experiment.recipe.output_dir)
    assert type(trainer) is unlearner_class(method)
    assert trainer.unlearning_name == method
    assert len(trainer.forget_dataset) == len(rows.split.forget)


def test_every_unlearner_of_the_package_can_be_named():
    import hf_privacy.unlearning as room

    trainers = {getattr(room, name) for name in dir(room) if name.endswith("Trainer")}
    assert trainers - {UnlearningTrainer, LanguageUnlearningTrainer} == {unlearner_class(name) for name in UNLEARNERS}


def test_an_unlearner_goes_on_with_the_recipes_optimizer_at_a_tenth_of_its_rate(make):
    args = unlearning_arguments(make(), "runs/doc")
    assert (args.optim, args.per_device_train_batch_size, args.lr_scheduler_type) == ("sgd", 8, "constant")
    assert args.learning_rate == pytest.approx(0.01)
    assert args.save_strategy == "no"  # the schedule is the unlearner's own


def test_what_the_section_sets_wins(make):
    args = unlearning_arguments(make(training={"learning_rate": "1e-4", "beta": 0.5}), "runs/doc")
    assert (args.learning_rate, args.beta) == (1e-4, 0.5)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"method": None}, "unlearning.method is not set"),
        ({"method": "salunn"}, "unknown key 'salunn' in unlearning.method: did you mean 'salun'"),
        ({"training": {"bta": 0.5}}, "unknown key 'bta' in section 'unlearning.training': did you mean 'beta'"),
        ({"training": {"beta": 2.0}}, "beta is 2.0"),
        ({"training": {"output_dir": "x"}}, "unlearning.training.output_dir is set"),
        ({"method": RETRAIN, "training": {"learning_rate": 0.1}}, "it trains by the recipe's own training section"),
    ],
)
def test_a_section_that_cannot_run_is_refused_without_data(section, message, make):
    with pytest.raises(InputError, match=message):
        check_unlearning(make(**section))


def test_a_method_for_other_tasks_is_refused(make, monkeypatch):
    monkeypatch.setattr(unlearner_class("ssd"), "tasks", ("image-classification",))
    with pytest.raises(InputError, match="'ssd' is for image-classification: task 'tabular-classification' needs"):
        check_unlearning(make(method="ssd"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"metod": "ssd"}, "unknown key 'metod' in section 'unlearning': did you mean 'method'"),
        ({"retrains": -1}, "unlearning.retrains is -1"),
        ({"heldout": "members"}, "unlearning.heldout is 'members'"),
        ({"heldout": [1, "2"]}, "an entry of unlearning.heldout is '2'"),
        ({"audit": "full"}, "unlearning.audit is 'full'"),
        ({"training": {"hub_token": "hf_x"}}, "no place for tokens"),
    ],
)
def test_a_section_with_a_wrong_value_is_refused_when_read(section, message, make_recipe):
    with pytest.raises(InputError, match=message):
        make_recipe(unlearning=section)


def test_the_section_may_change_after_training(make, tmp_path):
    from hf_privacy.recipe import RunFolder

    folder = RunFolder(tmp_path / "run")
    folder.start(make())
    folder.check(make(method="ssd", request={"label": 1}))


# ---- requests ----


def test_a_person_is_forgotten_by_a_column_that_the_model_never_reads(make):
    experiment = prepare(make())
    members = experiment.split.members
    person = experiment.rows["person"][int(members[0])]
    expected = [row for row in members if experiment.rows["person"][int(row)] == person]
    assert requested_rows(experiment, request_of({"where": {"person": person}})).tolist() == expected


def test_a_value_that_looks_like_a_number_stays_text(make):
    recipe = make(request={"where": {"person": "3e3"}})
    assert recipe.unlearning.request == {"where": {"person": "3e3"}}
    assert request_of({"fraction": "1e-1"}).fraction == 0.1


def test_the_further_columns_do_not_change_the_split(make):
    recipe = make()
    plain = prepare(recipe)
    rows = datasets.load_dataset("parquet", data_files=recipe.data.name_or_path, split="train")
    narrow = recipe.data.name_or_path.replace("people.parquet", "narrow.parquet")
    rows.select_columns(["features", "label"]).to_parquet(narrow)
    assert prepare(recipe.override({"data.name_or_path": narrow})).split.hash == plain.split.hash


def test_the_further_columns_follow_a_subset(make):
    experiment = prepare(make(data={"max_examples": 40}))
    features = experiment.dataset.column("features").numpy()
    np.testing.assert_allclose(np.array(experiment.rows["features"][:]), features, rtol=1e-5)
    assert "person" in experiment.rows.column_names


def test_ids_and_classes_name_members(make):
    experiment = prepare(make())
    members = experiment.split.members
    names = example_ids(experiment.rows.select_columns(["features", "label"]))
    assert requested_rows(experiment, ForgetRequest(ids=[names[members[3]]])).tolist() == [members[3]]
    of_class = [row for row in members if experiment.rows["label"][int(row)] == 1]
    assert requested_rows(experiment, ForgetRequest(label=1)).tolist() == of_class
    assert requested_rows(experiment, ForgetRequest(label=experiment.classes[1])).tolist() == of_class


def test_requests_for_what_was_never_trained_on_are_refused(make):
    experiment = prepare(make())
    stranger = int(experiment.split.non_members[0])
    with pytest.raises(InputError, match="1 of the 1 examples in rows are not in the training set"):
        requested_rows(experiment, ForgetRequest(rows=[stranger]))
    with pytest.raises(InputError, match="name no row of the dataset"):
        requested_rows(experiment, ForgetRequest(ids=["nobody"]))
    with pytest.raises(InputError, match="no class of that name"):
        requested_rows(experiment, ForgetRequest(label="zebra"))


# ---- held out and test ----


def rows_of(recipe: Recipe):
    experiment = prepare(recipe)
    return experiment, unlearning_rows(experiment, requested_rows(experiment, ForgetRequest(fraction=0.2)))


def test_the_population_is_held_out_and_the_non_members_judge(make):
    experiment, rows = rows_of(make())
    assert rows.split.heldout.tolist() == experiment.split.population.tolist()
    assert rows.test.tolist() == experiment.split.non_members.tolist()


def test_without_a_population_half_of_the_non_members_is_held_out(make):
    experiment, rows = rows_of(make(data={"population_fraction": 0.0}))
    both = np.concatenate([rows.split.heldout, rows.test])
    assert sorted(both.tolist()) == experiment.split.non_members.tolist()
    assert abs(len(rows.split.heldout) - len(rows.test)) <= 1


def test_what_is_left_are_the_members_and_the_forgotten_are_in_no_part(make):
    experiment, rows = rows_of(make())
    left = rows.remaining(experiment.split)
    assert left.members.tolist() == rows.split.retain.tolist()
    everyone = np.concatenate([left.members, left.non_members, left.population])
    assert not np.isin(rows.split.forget, everyone).any()


def test_held_out_members_are_refused(make):
    experiment = prepare(make())
    strangers, member = experiment.split.non_members[:3].tolist(), int(experiment.split.members[0])
    _, rows = rows_of(make(heldout=strangers))
    assert rows.split.heldout.tolist() == strangers
    with pytest.raises(InputError, match=r"unlearning\.heldout holds 1 members"):
        rows_of(make(heldout=[*strangers, member]))


def test_a_request_for_everyone_is_refused(make):
    experiment = prepare(make())
    with pytest.raises(InputError, match="nothing would be retained"):
        unlearning_rows(experiment, experiment.split.members)


def test_remi_asks_for_the_audits_references_before_it_starts(make, tmp_path):
    experiment, rows = rows_of(make(method="remi", training={"approximator": "inference"}))
    with pytest.raises(InputError, match="there are no reference models: run `hf-privacy audit` first"):
        unlearner(experiment, rows, experiment.model_init(), output_dir=tmp_path / "x", references=tmp_path)


# ---- the model it starts from ----


def test_an_adapter_is_unlearned_where_it_was_trained(make_recipe, text_file, tiny_bert, tmp_path):
    recipe = make_recipe(
        text_file,
        task="text-classification",
        model={"name_or_path": tiny_bert, "from_scratch": False, "kwargs": {}, "lora": {"r": 2}},
        data={"input_column": "sentence", "max_length": 16, "population_fraction": 0.2},
        training={"learning_rate": 0.01},
        unlearning={"method": "neg_grad_plus", "training": {"num_train_epochs": 1}},
    )
    experiment = prepare(recipe)
    original = experiment.trainer()
    original.train()
    original.save_model(str(tmp_path / "original"))
    model = start_model(experiment, tmp_path / "original")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, weight in original.model.named_parameters() if weight.requires_grad}
    rows = unlearning_rows(experiment, requested_rows(experiment, ForgetRequest(fraction=0.3)))
    trainer = unlearner(experiment, rows, model, output_dir=tmp_path / "unlearned")
    trainer.unlearn()
    trainer.save_model()
    again = dict(start_model(experiment, tmp_path / "unlearned").named_parameters())
    moved = {name for name, weight in original.model.named_parameters() if not weight.equal(again[name])}
    # The head that peft copied and no longer uses is drawn anew whenever the base is loaded.
    assert {name for name in moved if ".original_module." not in name} == trained
