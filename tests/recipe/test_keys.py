"""What `hf-privacy keys` and the JSON schema say is what the recipe's own checks say."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import jsonschema
import pytest
import yaml

from hf_privacy.cli import main
from hf_privacy.defenses import DEFENSES, trainer_class
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe
from hf_privacy.recipe.json_schema import recipe_schema
from hf_privacy.recipe.keys import REQUIRED, key_named, keys_of, section_keys, sections
from hf_privacy.recipe.shipped import command_of, shipped_recipes
from hf_privacy.tasks import TASKS, task_named
from hf_privacy.unlearning import UNLEARNERS, unlearner_class

METHODS = [*DEFENSES, *UNLEARNERS]
LIGHT = [name for name, place in sections().items() if not isinstance(place, str) or ".recipe." in place]


@pytest.fixture(scope="module")
def schema() -> dict:
    return recipe_schema()


@pytest.fixture(scope="module")
def validator(schema) -> jsonschema.Draft7Validator:
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


# ---- the keys ----


@pytest.mark.parametrize("name", ["", *sections(), *METHODS])
def test_every_key_says_what_it_means(name):
    assert [key.name for key in section_keys(name) if not key.meaning] == []


def test_every_key_of_a_recipe_is_listed():
    recipe = Recipe.from_dict({})
    listed = {key.name for name in ("", *sections()) for key in section_keys(name)} | set(sections())

    def names(values: dict, prefix: str = "") -> set[str]:
        found = {f"{prefix}{name}" for name in values}
        return found | {
            deeper
            for name, value in values.items()
            if isinstance(value, dict) and f"{prefix}{name}" in sections()
            for deeper in names(value, f"{prefix}{name}.")
        }

    assert names(asdict(recipe)) <= listed


@pytest.mark.parametrize("section", LIGHT)
def test_a_default_that_is_listed_is_of_a_kind_that_is_listed(section):
    for key in section_keys(section):
        if key.default is not REQUIRED and key.default is not None:
            kinds = (*key.kinds, int) if float in key.kinds else key.kinds
            assert isinstance(key.default, kinds), key.name
        if key.choices and not key.is_list:
            assert key.default in (None, *key.choices), key.name


WITH_CHOICES = [key for name in ("", *LIGHT) for key in section_keys(name) if key.choices]
NAMED_LATER = ("defense", "unlearning.method")  # looked up when they are used


@pytest.mark.parametrize("key", [k for k in WITH_CHOICES if k.name not in NAMED_LATER], ids=lambda key: key.name)
def test_the_choices_listed_are_those_that_are_checked(key):
    values = {"audit.robustness.epsilon": 0.1} if ".robustness." in key.name else {}
    with pytest.raises(InputError) as refused:
        Recipe.from_dict({}).override({**values, key.name: ["nonsense"] if key.is_list else "nonsense"})
    assert all(str(choice) in str(refused.value) for choice in key.choices)


@pytest.mark.parametrize("name", METHODS)
def test_the_choices_of_a_method_are_those_its_config_checks(name, tmp_path):
    kind = (trainer_class if name in DEFENSES else unlearner_class)(name).config_class
    needed = {"target_epsilon": 1.0} if name.startswith("dp") and name in DEFENSES else {}
    for key in section_keys(name):
        if not key.choices:
            continue
        with pytest.raises(InputError, match=key.leaf) as refused:
            kind(str(tmp_path), **needed, **{key.leaf: "nonsense"})
        assert str(refused.value).endswith("pass " + " or ".join(map(repr, key.choices)))


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_keys_are_what_its_config_adds(name):
    kind = (trainer_class if name in DEFENSES else unlearner_class)(name).config_class
    listed = {key.leaf: key for key in section_keys(name)}
    assert set(trainer_class(name).search_space if name in DEFENSES else ()) <= {key.leaf for key in keys_of(kind)}
    common = {key.leaf for key in section_keys("training" if name in DEFENSES else "unlearning.training")}
    assert {key.leaf for key in keys_of(kind)} - {"output_dir", "hub_token"} == common | set(listed)


def test_what_a_recipe_sets_itself_is_the_default_that_is_listed():
    assert key_named("training.save_strategy").default == "no"
    assert key_named("training.report_to").default == "none"
    assert key_named("dp.target_epsilon").name == "training.target_epsilon"


@pytest.mark.parametrize("name", TASKS)
def test_a_key_about_other_examples_has_its_default_where_it_is_not_for_the_task(name):
    task = task_named(name)
    others = [key for key in section_keys("data") if not key.is_for(task)]
    assert others or name == "text-classification"
    recipe = Recipe.from_dict({"task": name})
    for key in others:
        if key.leaf not in task.data_defaults:
            assert getattr(recipe.data, key.leaf) == key.default


def test_an_unknown_key_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"'data.label_colum' in a recipe: did you mean 'data.label_column'\?"):
        key_named("data.label_colum")
    with pytest.raises(InputError, match=r"'relaxloss' in .*did you mean 'relax_loss'\?"):
        section_keys("relaxloss")


# ---- the schema ----


@pytest.mark.parametrize("name", [n for n, path in shipped_recipes().items() if command_of(path) != "compare"])
def test_a_shipped_recipe_is_valid(name, validator):
    validator.validate(yaml.safe_load(shipped_recipes()[name].read_text(encoding="utf-8")))


def test_a_shipped_comparison_is_valid_and_one_with_a_typo_is_not():
    from hf_privacy.comparison.json_schema import comparison_schema

    judge = jsonschema.Draft7Validator(comparison_schema())
    for path in shipped_recipes().values():
        if command_of(path) == "compare":
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
            judge.validate(values)
            assert not judge.is_valid({**values, "defences": {}})
            assert not judge.is_valid({**values, "defenses": {"none": {"titel": "x"}}})


@pytest.mark.parametrize(
    "values",
    [
        {"defense": "my_package.losses:Mine", "training": {"my_weight": 1}},
        {"audit": {"canaries": 64}},
        {"audit": {"extraction": False, "robustness": {"epsilon": "1e-2"}}},
        {"training": {"learning_rate": "1e-3", "report_to": ["wandb"]}},
        {"defense": "dp", "training": {"target_epsilon": 3, "learning_rate": 1}},
        {"data": None},
        {"unlearning": {"method": "npo", "training": {"beta": 1, "anchor": "forget"}, "request": {"label": 3}}},
        {"critical_weight_rewind": {"fraction": 0.01, "kinds": ["linear"]}},
    ],
    ids=str,
)
def test_what_a_recipe_takes_is_valid(values, validator):
    validator.validate(values)
    Recipe.from_dict(values)


@pytest.mark.parametrize(
    "values",
    [
        {"modle": {}},
        {"data": {"label_colum": "x"}},
        {"training": {"learning_rat": 1}},
        {"training": {"target_epsilon": 1}},  # without the defence
        {"defense": "dp", "training": {"target_epsilo": 1}},
        {"defense": "dp", "training": {"accountant": "gdp"}},
        {"defense": "dpp"},
        {"unlearning": {"method": "npo", "training": {"bta": 1}}},
        {"unlearning": {"request": {"colour": 1}}},
        {"audit": {"references": "many"}},
        {"audit": {"canaries": {"number": 1}}},
        {"audit": {"extraction": {"x": 1}}},
        {"audit": {"robustness": {"norm": "linf"}}},
        {"audit": {"extra_attacks": ["label-only"]}},
        {"critical_weight_rewind": {"fractio": 1}},
        {"training_dynamics": {"every": 1}},
    ],
    ids=str,
)
def test_a_typo_is_not(values, validator):
    assert not validator.is_valid(values)


def test_the_schemas_defaults_are_valid_themselves(schema, validator):
    defaults = {name: entry["default"] for name, entry in schema["properties"].items() if "default" in entry}
    validator.validate(defaults)


# ---- the command ----


@pytest.mark.parametrize("name", ["", "data", "audit.canaries", "references"])
def test_listing_loads_nothing_heavy(name):
    code = f"from hf_privacy.cli import main; import sys; main(['keys', *{[name] if name else []}])\n"
    code += "print('loaded', [m for m in ('torch', 'transformers', 'numpy', 'datasets') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "loaded []"
    assert len(shown.splitlines()) > 3


def test_one_key_is_shown_in_full(capsys):
    assert main(["keys", "data.label_column"]) == 0
    assert capsys.readouterr().out.split("\n")[:3] == ["data.label_column", "  takes    text", "  default  label"]


def test_a_methods_keys_are_shown_with_their_section(capsys):
    assert main(["keys", "relax_loss"]) == 0
    shown = capsys.readouterr().out
    assert "With defense: relax_loss" in shown
    assert "training.flattening: with_ascent    ('with_ascent' or 'soft_labels_only')" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lable_column"], "did you mean 'label_column'?"),
        (["zzz"], "`hf-privacy keys` lists them"),
        (["data.label_colum"], "did you mean 'data.label_column'?"),
        (["dp", "--json-schema"], "--json-schema is of a whole file"),
    ],
    ids=str,
)
def test_words_that_name_nothing_are_refused_in_a_sentence(arguments, message, capsys):
    assert main(["keys", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_schema_is_printed_as_json(capsys, schema):
    assert main(["keys", "--json-schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(schema))
