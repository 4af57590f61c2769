"""What a comparison's YAML becomes: recipes, folders, hosts, and the baseline."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from hf_privacy.comparison import Comparison
from hf_privacy.errors import InputError

BASE = {
    "task": "tabular-classification",
    "model": {"name_or_path": "hf_privacy_tabular_mlp", "kwargs": {"hidden_sizes": [8]}},
    "training": {"learning_rate": 0.1, "num_train_epochs": 5},
    "audit": {"references": 16, "targets": 5, "budgets": [2, 4]},
}


def comparison(**changes) -> Comparison:
    return Comparison.from_dict({"recipe": BASE, "defenses": {"none": {}}, **changes})


def test_an_entry_changes_what_it_names_and_nothing_else():
    plan = comparison(
        defenses={
            "relax_loss": {"training": {"alpha": 0.5}},
            "wide": {"defense": "none", "model": {"kwargs": {"x": 1}}},
        }
    )
    relaxed, wide = (plan.cells(name)[0].recipe for name in plan.defenses)
    assert relaxed.defense == "relax_loss"
    assert relaxed.training == {"learning_rate": 0.1, "num_train_epochs": 5, "alpha": 0.5, "seed": 0}
    assert wide.model.kwargs == {"hidden_sizes": [8], "x": 1}
    assert wide.model.name_or_path == "hf_privacy_tabular_mlp"


def test_overrides_win_over_the_base_recipe_and_entries_over_overrides():
    plan = comparison(
        overrides={"training": {"learning_rate": 0.2, "weight_decay": 0.01}, "audit": {"references": 32}},
        defenses={"ccl": {"training": {"learning_rate": 0.3}}},
    )
    recipe = plan.cells("ccl")[0].recipe
    assert (recipe.training["learning_rate"], recipe.training["weight_decay"], recipe.audit.references) == (
        0.3,
        0.01,
        32,
    )


def test_a_seed_is_the_trainings_and_the_members_and_has_a_folder():
    cells = comparison(seeds=[4, 7]).cells("none")
    assert [(cell.recipe.training["seed"], cell.recipe.data.member_seed) for cell in cells] == [(4, 4), (7, 7)]
    assert [cell.recipe.output_dir for cell in cells] == [f"runs/comparison/none/seed_{seed}" for seed in (4, 7)]
    assert cells[0].recipe.data.split_seed == cells[1].recipe.data.split_seed


def test_each_training_has_a_run_of_its_own_in_trackers_and_none_without_them():
    assert "run_name" not in comparison().cells("none")[0].recipe.training
    tracked = {"training": {"report_to": "trackio"}}
    for changes, first in (({}, "none-seed_4"), ({"name": "mine"}, "mine-none-seed_4")):
        cells = comparison(seeds=[4, 7], overrides=tracked, **changes).cells("none")
        assert cells[0].recipe.training["run_name"] == first
        assert cells[1].recipe.training["run_name"] == first.replace("4", "7")


def test_seeds_take_the_place_of_the_base_recipes_targets():
    audit = comparison().cells("none")[0].recipe.audit
    assert (audit.targets, audit.budgets, audit.references) == (1, [], 16)


def test_hamp_is_asked_for_labels_and_defended_outputs_and_others_are_not():
    plan = comparison(defenses={"none": {}, "soft": {"defense": "hamp"}})
    assert [plan.defends_outputs(name) for name in plan.defenses] == [False, True]
    extras = [plan.cells(name)[0].recipe.audit.extra_attacks for name in plan.defenses]
    assert extras == [[], ["label_only"]]


def test_an_extra_attack_is_made_for_all_because_it_is_named():
    plan = comparison(attacks=["lira", "quantile_regression"], defenses={"none": {}, "ccl": {}})
    assert all(plan.cells(name)[0].recipe.audit.extra_attacks == ["quantile_regression"] for name in plan.defenses)


def test_the_host_is_the_same_defence_with_the_same_training_and_no_rewinding():
    rewind = {"critical_weight_rewind": {"fraction": 0.01}}
    plan = comparison(
        defenses={
            "weak": {"defense": "relax_loss", "training": {"alpha": 1.0}},
            "strong": {"defense": "relax_loss", "training": {"alpha": 0.5}},
            "strong_cwrf": {"defense": "relax_loss", "training": {"alpha": 0.5}, **rewind},
            "cwrf": {"defense": "none", **rewind},
            "none": {},
        }
    )
    assert {name: plan.host_of(name) for name in plan.defenses} == {
        "weak": None,
        "strong": None,
        "strong_cwrf": "strong",
        "cwrf": "none",
        "none": None,
    }
    assert plan.baseline == "none"


def test_the_base_recipe_is_looked_for_beside_the_comparison(tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    path = tmp_path / "recipes" / "comparison.yaml"
    path.write_text(yaml.safe_dump({"recipe": "../base.yaml", "defenses": {"none": None}}))
    plan = Comparison.load(path, {"overrides.audit.references": "8", "defenses.ccl.training.alpha": "0.5"})
    assert plan.cells("none")[0].recipe.audit.references == 8
    assert plan.cells("ccl")[0].recipe.training["alpha"] == 0.5


def test_what_workers_read_gives_the_same_runs(tmp_path):
    plan = comparison(defenses={"none": {}, "cwrf": {"defense": "none", "critical_weight_rewind": {"fraction": 0.01}}})
    plan.save(tmp_path / "comparison.yaml")
    again = Comparison.load(tmp_path / "comparison.yaml")
    for name in plan.defenses:
        assert [asdict(cell) for cell in again.cells(name)] == [asdict(cell) for cell in plan.cells(name)]


@pytest.mark.parametrize("name", ["private", "a.b", "-x", ""])
def test_a_name_that_is_no_folder_of_its_own_is_refused(name):
    with pytest.raises(InputError, match="defence"):
        comparison(defenses={name: {"defense": "none"}})


def test_folders_of_other_defences_and_seeds_differ():
    plan = comparison(defenses={"none": {}, "hamp": {}})
    folders = {Path(cell.recipe.output_dir) for name in plan.defenses for cell in plan.cells(name)}
    stores = {store(name) for name in plan.defenses for store in (plan.references_dir, plan.defended_references_dir)}
    assert (len(folders), len(stores)) == (6, 4)


def test_a_host_may_be_named_and_must_be_another_entry():
    values = {"recipe": {"model": {"name_or_path": "timm/resnet18"}}}
    defenses = {"none": {}, "adversarial": {}, "demem": {"host": "adversarial"}}
    plan = Comparison.from_dict({**values, "defenses": defenses})
    assert [plan.host_of(name) for name in defenses] == [None, None, "adversarial"]
    for host in ("pgd_at", "demem"):
        with pytest.raises(InputError, match="host of defence 'demem' is"):
            Comparison.from_dict({**values, "defenses": {**defenses, "demem": {"host": host}}})


def test_rank_dropout_and_epochs_of_a_language_model_are_entries_of_their_own():
    lora = {"r": 8, "lora_alpha": 16}
    recipe = {"task": "causal-lm", "model": {"name_or_path": "a/b", "lora": lora}, "training": {"num_train_epochs": 5}}
    plan = Comparison.from_dict(
        {
            "recipe": recipe,
            "defenses": {
                "none": {},
                "rank": {"defense": "none", "model": {"lora": {"r": 1}}},
                "dropout": {"defense": "none", "model": {"lora": {"lora_dropout": 0.1}}},
                "short": {"defense": "none", "training": {"num_train_epochs": 1}},
            },
        }
    )
    made = {name: plan.cells(name)[0].recipe for name in plan.defenses}
    assert [made[name].model.lora for name in ("none", "rank", "dropout")] == [
        lora,
        {**lora, "r": 1},
        {**lora, "lora_dropout": 0.1},
    ]
    assert made["short"].training["num_train_epochs"] == 1
    assert plan.baseline == "none"
