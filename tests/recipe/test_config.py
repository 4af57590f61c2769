"""A recipe says what a run is; what it says wrong is found before anything runs."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from hf_privacy.defenses import PrivacyConfig
from hf_privacy.errors import InputError
from hf_privacy.hub import GateSettings
from hf_privacy.recipe import AuditSettings, Recipe, read_yaml
from hf_privacy.recipe.config import PushSection, set_dotted


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"modle": {}}, "unknown key 'modle' in the recipe: did you mean 'model'?"),
        (
            {"model": {"name_or_pth": "x"}},
            "unknown key 'name_or_pth' in section 'model': did you mean 'name_or_path'?",
        ),
        ({"data": {"labelcolumn": "y"}}, "unknown key 'labelcolumn' in section 'data': did you mean 'label_column'?"),
        ({"audit": {"refrences": 4}}, "unknown key 'refrences' in section 'audit': did you mean 'references'?"),
        ({"push": {"privat": True}}, "unknown key 'privat' in section 'push': did you mean 'private'?"),
        ({"audit": {"zzz": 4}}, "unknown key 'zzz' in section 'audit': known are "),
        ({7: {}}, "unknown key '7' in the recipe"),
    ],
    ids=str,
)
def test_an_unknown_key_is_refused_with_the_nearest_there_is(values, message):
    with pytest.raises(InputError) as refused:
        Recipe.from_dict(values)
    assert str(refused.value).startswith(message)


def test_an_unknown_key_from_the_command_line_is_refused_too():
    with pytest.raises(InputError, match=r"unknown key 'seed' in section 'data': did you mean 'split_seed'"):
        Recipe.from_dict({}).override({"data.seed": "1"})


def test_a_recipe_that_says_nothing_has_the_defaults():
    recipe = Recipe.from_dict({})
    assert recipe.audit == AuditSettings()
    assert recipe.push.private is True
    assert recipe.defense == "none"


def test_an_empty_section_is_that_sections_defaults():
    assert Recipe.from_dict({"audit": None}) == Recipe.from_dict({})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "resnet"}, "section 'model' holds 'resnet'"),
        ({"audit": {"references": "many"}}, "section 'audit' key 'references' is 'many': pass int"),
        ({"audit": {"references": 4.5}}, "key 'references' is 4.5: pass int"),
        # yes and no are booleans in YAML, and True is 1 to Python
        ({"audit": {"references": True}}, "key 'references' is True: pass int"),
        ({"data": {"stratify": 1}}, "key 'stratify' is 1: pass bool"),
        ({"data": {"stratify": "no"}}, "key 'stratify' is 'no': pass bool"),
        ({"data": {"member_fraction": "half"}}, "key 'member_fraction' is 'half': pass float"),
        ({"data": {"max_examples": []}}, r"key 'max_examples' is \[\]: pass int or nothing"),
        ({"model": {"lora": 4}}, "key 'lora' is 4: pass dict or nothing"),
        ({"training": ["lr"]}, "training is"),
        ({"audit": {"queries": "flip"}}, "key 'queries' is 'flip': pass list"),
        ({"name": 3}, "name is 3: pass str or nothing"),
        ({"task": "regression"}, "task is 'regression': pass one of image-classification"),
        ({"data": {"repeats": "keep"}}, "data.repeats is 'keep': pass one of report, drop"),
        ({"data": {"augmentation": "crop"}}, "data.augmentation is 'crop'"),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(values, message):
    with pytest.raises(InputError, match=message):
        Recipe.from_dict(values)


def test_a_whole_number_is_a_number():
    assert Recipe.from_dict({"data": {"population_fraction": 0}}).data.population_fraction == 0.0
    assert isinstance(Recipe.from_dict({"audit": {"gamma": 2}}).audit.gamma, float)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"references": 1}, "references is 1: a full audit needs at least 2"),
        ({"references": 2, "lira_variance": "pooled"}, "fewer than 4 leave an example one value a side"),
        ({"extra_attacks": ["magic"]}, "extra_attacks holds 'magic': pass any of quantile_regression"),
        ({"budgets": [3], "targets": 2}, "budgets holds 3: pass even numbers"),
        ({"budgets": [2]}, "with targets 1: pass at least 2 targets"),
        ({"budgets": [16], "targets": 2}, "budgets hold 16 with 16 references: at most 14"),
        ({"depth": "deep"}, "depth is 'deep': pass 'quick' or 'full'"),
        ({"fraction": 1.0}, "fraction is 1.0"),
        ({"confidence": 0.0}, "confidence is 0.0"),
        ({"gamma": 0.0}, "gamma is 0.0"),
        ({"fprs": [0.5, 1.0]}, "fprs holds 1.0"),
        ({"fprs": ["low"]}, "fprs holds 'low'"),
        ({"lira_variance": "none"}, "lira_variance is 'none'"),
        ({"queries": []}, "queries is"),
        ({"queries": ["rotate"]}, "queries is"),
        ({"targets": 0}, "targets is 0: pass a whole number from 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"targets": 2, "references": 4}, "pass 6 references or more"),
        ({"targets": 8, "references": 6}, "at most 7"),
        ({"targets": 2, "fraction": 0.25}, "further targets need 0.5"),
    ],
    ids=str,
)
def test_an_audit_that_cannot_be_made_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Recipe.from_dict({"audit": settings})


def test_a_quick_audit_needs_no_references():
    assert Recipe.from_dict({"audit": {"depth": "quick", "references": 0}}).audit.depth == "quick"


@pytest.mark.parametrize("key", ["hub_token", "push_to_hub_token"])
def test_trap_5_a_token_in_a_recipe_is_refused_and_not_repeated(key):
    with pytest.raises(InputError, match="a recipe is no place for tokens") as refused:
        Recipe.from_dict({"training": {key: "hf_secret"}})
    assert "hf_secret" not in str(refused.value)


# ---- numbers as people write them ----


def test_yaml_reads_1e_3_as_text_and_the_recipe_as_a_number(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(
        "data: {member_fraction: 5e-1}\n"
        "training: {learning_rate: 1e-3, lr_scheduler_kwargs: {min_lr: 1E-5}, optim_args: [2e+1]}\n"
        "audit: {fprs: [1e-3, 1e-2]}\n"
        "push: {max_tpr_at_fpr: {1e-2: 5e-2}}\n"
    )
    recipe = Recipe.load(file)
    assert recipe.data.member_fraction == 0.5
    assert recipe.training == {"learning_rate": 1e-3, "lr_scheduler_kwargs": {"min_lr": 1e-5}, "optim_args": [20.0]}
    assert recipe.audit.fprs == [1e-3, 1e-2]
    assert recipe.push.max_tpr_at_fpr == {1e-2: 5e-2}


def test_the_command_line_reads_1e_3_as_a_number():
    recipe = Recipe.from_dict({}).override({"training.learning_rate": "1e-3", "audit.fprs": "[1e-2]"})
    assert recipe.training["learning_rate"] == 1e-3
    assert recipe.audit.fprs == [1e-2]


def test_a_revision_that_looks_like_a_number_stays_text():
    assert Recipe.from_dict({}).override({"model.revision": "12e4567"}).model.revision == "12e4567"
    assert Recipe.from_dict({"data": {"revision": "7e12"}}).data.revision == "7e12"


# ---- the command line ----


def test_the_command_line_wins_over_the_file():
    recipe = Recipe.from_dict({"audit": {"references": 4}, "training": {"learning_rate": 0.1, "seed": 1}})
    changed = recipe.override({"audit.references": "8", "training.learning_rate": "0.2", "output_dir": "elsewhere"})
    assert (changed.audit.references, changed.output_dir) == (8, "elsewhere")
    assert changed.training == {"learning_rate": 0.2, "seed": 1}
    assert recipe.audit.references == 4


def test_the_command_line_sets_nested_keys_lists_booleans_and_nothing():
    recipe = Recipe.from_dict({"data": {"max_examples": 5}}).override(
        {
            "model.lora.r": "4",
            "model.lora.target_modules": "[query, value]",
            "data.stratify": "false",
            "data.max_examples": "null",
        }
    )
    assert recipe.model.lora == {"r": 4, "target_modules": ["query", "value"]}
    assert recipe.data.stratify is False
    assert recipe.data.max_examples is None


def test_a_key_below_a_value_is_refused():
    with pytest.raises(InputError, match=r"task\.x is set, but task is no section"):
        set_dotted({"task": "t"}, "task.x", "1")


def test_a_value_that_is_no_yaml_is_refused():
    with pytest.raises(InputError, match=r"training\.optim_args is '\[a', which is no valid YAML"):
        Recipe.from_dict({}).override({"training.optim_args": "[a"})


# ---- files ----


def test_a_saved_recipe_loads_as_it_was(tmp_path, make_recipe):
    recipe = make_recipe(audit={"references": 6}, push={"max_tpr_at_fpr": {0.01: 0.05}})
    recipe.save(tmp_path / "saved.yaml")
    assert Recipe.load(tmp_path / "saved.yaml") == recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1\nb: 2", "config r.yaml is no valid YAML"),
        (b"a:\n\t- x", "config r.yaml is no valid YAML"),
        (b"\xff\xfe\x00", "config r.yaml is no valid YAML"),
        (b"- a\n- b", "config r.yaml holds list: a recipe is a mapping of sections"),
        (b"", "config r.yaml holds NoneType"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_sentence(tmp_path, content, message):
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        Recipe.load(tmp_path / "r.yaml")
    assert "\n" not in str(refused.value)


def test_yaml_cannot_build_objects(tmp_path):
    (tmp_path / "r.yaml").write_text("name: !!python/object/apply:os.getcwd []")
    with pytest.raises(InputError, match="no valid YAML"):
        Recipe.load(tmp_path / "r.yaml")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"nope\.yaml' is no file: pass a YAML recipe"):
        read_yaml(tmp_path / "nope.yaml")
    with pytest.raises(InputError, match="is no file"):
        read_yaml(tmp_path)


def test_the_push_section_and_a_config_ask_the_gate_all_it_can_be_asked_with_its_own_defaults(tmp_path):
    asked = asdict(GateSettings())
    assert PushSection().gate_settings() == asked
    assert PrivacyConfig(str(tmp_path)).gate_settings() == asked
