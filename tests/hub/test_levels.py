"""Where the verdict's levels begin, by the package and by a recipe; and that it has a price, or a way to one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_privacy.cli import main
from hf_privacy.errors import InputError
from hf_privacy.hub import levels_record, load_report_dict, verdict
from hf_privacy.hub.prices import PRICES, UNMEASURED, price_sentences
from hf_privacy.recipe import Recipe
from hf_privacy.recipe.keys import key_named
from hf_privacy.recipe.shipped import command_of, shipped_recipe
from hf_privacy.tasks import TASKS

CARDS = Path(__file__).parents[2] / "model_cards"
needs_cards = pytest.mark.skipif(not CARDS.is_dir(), reason="the model cards are not installed with the package")


@needs_cards
def test_a_recipe_s_bounds_move_the_level_and_nothing_else():
    report = load_report_dict(CARDS / "sst2-minilm-lora")  # 12 of 100 are found at 1 false alarm in 100, AUC 0.74
    usual = verdict(report)
    moved = verdict({**report, "levels": {"times": [20, 30, 50], "aucs": [0.8, 0.9, 0.95]}})
    assert (usual.level, moved.level) == ("high", "low")
    assert (usual.sentence, usual.budget) == (moved.sentence, moved.budget)
    by_times = verdict({**report, "levels": {"times": [20, 30, 50], "aucs": [0.7, 0.9, 0.95]}})
    assert by_times.level == "moderate"  # the worse of both counts
    assert verdict({**report, "levels": {"times": [20, 30, 50]}}).level == "high"  # by the AUC, whose bounds stay
    assert verdict({**report, "levels": {"times": [1, 2, 3]}}).level == "very high"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("level_times", [2, 5]),
        ("level_times", [5, 2, 20]),
        ("level_times", [0, 5, 20]),
        ("level_times", [2, 5, float("inf")]),
        ("level_aucs", [0.4, 0.6, 0.8]),
        ("level_aucs", [0.6, 0.7, 1.1]),
        ("level_aucs", ["a", "b", "c"]),
        ("level_aucs", [0.6, True, 0.8]),
    ],
    ids=str,
)
def test_bounds_that_cannot_be_are_refused(name, given):
    with pytest.raises(InputError, match=rf"^push\.{name} is .*three rising numbers"):
        Recipe.from_dict({"push": {name: given}})


def test_the_keys_are_listed_with_their_meaning_and_the_record_holds_what_was_set(capsys):
    for name in ("level_times", "level_aucs"):
        assert "very high begin" in key_named("push.level_times").meaning
        assert main(["keys", f"push.{name}"]) == 0
        assert name in capsys.readouterr().out
    recipe = Recipe.from_dict({}).override({"push.level_times": "[3, 10, 50]"})
    assert recipe.push.levels() == levels_record([3, 10, 50], None) == {"times": [3.0, 10.0, 50.0]}
    assert Recipe.from_dict({}).push.levels() is None


@needs_cards
def test_every_task_has_a_table_of_prices_or_names_the_comparison_that_makes_one():
    for task in TASKS:
        [said] = price_sentences(task)
        if task in PRICES:
            assert "In our table on" in said
        else:
            name = UNMEASURED[task]
            assert f"`hf-privacy init --from {name}`" in said
            assert command_of(shipped_recipe(name)) == "compare"
    report = load_report_dict(CARDS / "sst2-minilm-lora")  # from before a report said its task
    assert UNMEASURED["text-classification"] in verdict(report).next_steps[0]
