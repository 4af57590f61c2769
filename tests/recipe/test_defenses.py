"""A recipe names its defence and sets the defence's own arguments in its training section."""

from __future__ import annotations

import pytest
from datasets import Dataset
from tiny_tokenizers import byte_level, saved_language_model

from hf_privacy.defenses import DEFENSES, PrivacyTrainer, RelaxLossTrainer, ValidationStopCallback, trainer_class
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, prepare

# Settings of some; the others run with what they have, and a private one is given its noise.
SETTINGS = {
    "adversarial": {"objective": "trades", "epsilon": 0.05, "awp_gamma": 0.01},
    "demem": {"epsilon": 0.05, "variance_weight": -0.1, "control": "negative_variance"},
    ("demem", "causal-lm"): {"variance_weight": 0.4, "minus_base": True},
    "dp_adversarial": {"objective": "mart", "epsilon": 0.05},
    "relax_loss": {"alpha": 0.5},
    "soft": {"num_train_epochs": 2, "replaced_share": 0.3},
    "hamp": {"gamma": 0.5, "alpha": 0.01},
}


TASKS = ("tabular-classification", "causal-lm")
TRIED = [(name, task) for name in DEFENSES for task in TASKS if task in trainer_class(name).tasks]


@pytest.fixture(scope="module")
def language_base(tmp_path_factory):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"max_position_embeddings": 24, "bos_token_id": 0, "eos_token_id": 0}
    return saved_language_model(tmp_path_factory.mktemp("base"), byte_level(pad="<pad>"), "llama", **sizes)


@pytest.fixture
def recipe_of(make_recipe, language_base, tmp_path):
    """Give a function: ``recipe_of("causal-lm", defense="goldfish", training={})``, with a population."""

    def make(task, **sections):
        if task != "causal-lm":
            return make_recipe(data={"population_fraction": 0.2}, **sections)
        path = tmp_path / "rows.parquet"
        texts = {"text": [f"number {n} is it" for n in range(50)], "other": [f"it is {n}" for n in range(50)]}
        Dataset.from_dict(texts).to_parquet(str(path))
        sections["training"] = {"use_cpu": True, "num_train_epochs": 1, **sections["training"]}
        data = {"name_or_path": str(path), "population_fraction": 0.2, "paraphrase_column": "other"}
        model = {"name_or_path": str(language_base), "lora": {"r": 2, "target_modules": "all-linear"}}
        return Recipe.from_dict(
            {"task": task, "output_dir": str(tmp_path / "run"), "model": model, "data": data, **sections}
        )

    return make


@pytest.mark.parametrize(("name", "task"), TRIED)
def test_a_recipe_trains_with_the_defence_it_names(name, task, recipe_of):
    kind = trainer_class(name)
    if kind.is_private:
        pytest.importorskip("opacus")
    noise = {"noise_multiplier": 1.0, "accountant": "rdp"} if kind.is_private else {}
    arguments = {**noise, **SETTINGS.get((name, task), SETTINGS.get(name, {}))}
    trainer = prepare(recipe_of(task, defense=name, training=arguments)).trainer()
    assert type(trainer) is kind
    assert {key: getattr(trainer.args, key) for key in arguments} == arguments
    trainer.train()
    assert (trainer.privacy_spent() is not None) == kind.is_private


def test_a_defence_of_other_tasks_is_refused(make_recipe, monkeypatch):
    monkeypatch.setattr(PrivacyTrainer, "tasks", ("image-classification",))
    with pytest.raises(InputError, match="defense 'none' is for image-classification: task 'tabular-classification'"):
        prepare(make_recipe())


def test_a_yaml_file_names_the_defence(make_recipe, tmp_path):
    make_recipe(defense="relax_loss", training={"alpha": 0.5}).save(tmp_path / "recipe.yaml")
    assert "defense: relax_loss" in (tmp_path / "recipe.yaml").read_text()
    trainer = prepare(Recipe.load(tmp_path / "recipe.yaml")).trainer()
    assert isinstance(trainer, RelaxLossTrainer)
    assert trainer.args.alpha == 0.5


@pytest.mark.parametrize(
    ("defense", "training", "message"),
    [
        ("relaxloss", {}, "unknown key 'relaxloss' in defense: did you mean 'relax_loss'"),
        ("relax_loss", {"alfa": 1.0}, "unknown key 'alfa' in section 'training': did you mean 'alpha'"),
        ("none", {"alpha": 1.0}, "unknown key 'alpha' in section 'training'"),
        ("ccl", {"gamma": 1.0}, "unknown key 'gamma' in section 'training'"),
        ("relax_loss", {"alpha": "high"}, "section 'training' key 'alpha' is 'high': pass float"),
        ("relax_loss", {"alpha": -1}, "alpha is -1.0: pass a number"),
        ("hamp", {"n_random_inputs": 2.5}, "section 'training' key 'n_random_inputs' is 2.5: pass int"),
        ("demem", {"variance_weight": -0.1}, "variance_weight is -0.1, which raises the variance"),
        ("demem", {"per_device_train_batch_size": 1}, "per_device_train_batch_size is 1: the variance"),
        ("adversarial", {"variance_weight": 0.1}, "unknown key 'variance_weight' in section 'training'"),
        ("dp_adversarial", {"noise_multiplier": 1.0, "awp_gamma": 0.01}, "awp_gamma is 0.01: .* no ε would hold"),
        ("early_stopping", {}, "data.population_fraction is 0: early_stopping validates on the population"),
    ],
)
def test_a_defence_that_cannot_run_is_refused_before_training(defense, training, message, make_recipe):
    with pytest.raises(InputError, match=message):
        prepare(make_recipe(defense=defense, training=training))


def test_early_stopping_looks_at_the_population_and_at_no_side_of_the_split(make_recipe):
    experiment = prepare(make_recipe(defense="early_stopping", data={"population_fraction": 0.25}))
    trainer = experiment.trainer()
    (rule,) = [c for c in trainer.callback_handler.callbacks if isinstance(c, ValidationStopCallback)]
    population = experiment.dataset.subset(experiment.split.population)
    assert rule.validation_dataset.column("features").equal(population.column("features"))
