"""Defences of language models side by side: leakage against perplexity, two-sided, with extraction beside."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hf_privacy.auditing import mean_interval
from hf_privacy.auditing.targets import two_sided_mean_area, two_sided_mean_rate
from hf_privacy.comparison import (
    Comparison,
    check_comparison,
    comparison_figure,
    comparison_markdown,
    write_comparison,
)
from hf_privacy.comparison.experiments import Experiments
from hf_privacy.comparison.two_sided import two_sided_figures
from hf_privacy.errors import InputError

SEEDS = (0, 1, 2)
ENDS = {"low": 0.1, "high": 0.5, "conditional_low": 0.2, "conditional_high": 0.4}


@pytest.fixture
def make_language_report(make_report) -> Callable[..., dict[str, Any]]:
    """``make(perplexity, auc, …)`` gives an audit's JSON of a language model, of which authors are the unit."""

    def make(perplexity: float, auc: float, *, defended: bool = False, given_back: float | None = 0.1) -> dict:
        report = make_report(0.5, None, 0.2)
        sides = {"member": 0.5 * perplexity, "nonmember": perplexity}
        report["utility"] = {}
        for side, value in sides.items():
            report["utility"] |= {
                f"{side}_loss": float(np.log(value)),
                f"{side}_perplexity": {"value": value, "low": 0.9 * value, "high": 1.1 * value},
                f"{side}_token_accuracy": {"value": 0.4, "low": 0.3, "high": 0.5},
            }
        del report["dataset"]["n_classes"]
        report["memorization_bins"] = None
        report["split"] |= {"unit": "author", "n_groups": {"members": 8, "non_members": 8, "population": 4}}
        for attack in report["attacks"]:
            attack |= {"auc": auc, "auc_low": auc - 0.02, "auc_high": min(1.0, auc + 0.02)}
            attack["by_group"] = {"auc": auc, "auc_low": max(0.0, auc - 0.2), "auc_high": min(1.0, auc + 0.2)}
            if defended:
                low, high = sorted((attack["auc_low"], 1 - attack["auc_low"]))
                rates = [{**e, **ENDS, "tpr": 0.3, "side": "low", "low_tail": 0.3} for e in attack["tpr_at_fpr"]]
                attack["two_sided"] = {
                    "side": "low" if auc < 0.5 else "high", "auc": max(auc, 1 - auc), "auc_low": 0.5,
                    "auc_high": max(low, high), "balanced_accuracy": 0.6, "advantage": 0.2, "tpr_at_fpr": rates,
                }  # fmt: skip
        if given_back is not None:
            share = {"low": 0.0, "high": 0.5, "n_examples": 20}
            greedy = {
                "members": {"rate": given_back, **share}, "heldout": {"rate": 0.02, **share}, "base_members": None,
                "base_heldout": None, "leakage": {"value": given_back - 0.02, "low": -0.1, "high": 0.3},
            }  # fmt: skip
            report["extraction"] = {
                "suffix_tokens": 16, "prefix_tokens": None, "mean_prefix_tokens": 9.0, "mean_suffix_tokens": 16.0,
                "n_left_out": 0, "confidence": 0.95, "seconds": 1.0, "greedy": greedy,
                "sampling": {
                    "temperature": 1.0, "top_k": None, "top_p": None,
                    "curve": [{"n": 1, "p": 0.5, **greedy}],
                },
                "repeats": [], "overlap": None,
            }  # fmt: skip
        return report

    return make


@pytest.fixture
def table(make_language_report, gather) -> dict[str, Any]:
    return gather(
        {
            "none": [make_language_report(20 + seed, 0.95 + 0.01 * seed, given_back=0.2) for seed in SEEDS],
            "turned": [make_language_report(30 + seed, 0.4 + 0.01 * seed, defended=True) for seed in SEEDS],
        }
    )


def row_of(table: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in table["rows"] if row["name"] == name)


def test_worth_is_perplexity_of_nonmembers_and_the_gap_is_in_nats(table):
    assert table["worth"] == "perplexity"
    row = row_of(table, "none")
    assert row["perplexity"] == {"values": [20, 21, 22], **mean_interval([20, 21, 22], within=(1.0, np.inf))}
    assert row["gap"]["values"] == pytest.approx([np.log(2)] * 3)
    assert "accuracy" not in row
    difference = row_of(table, "turned")["against"]
    assert difference["name"] == "none"
    assert difference["perplexity"]["values"] == [10, 10, 10]


def test_a_defended_row_is_read_from_both_sides_with_one_side_for_all_seeds(table):
    found = row_of(table, "turned")["attacks"]["lira"]
    assert found["auc"]["values"] == pytest.approx([0.4, 0.41, 0.42])  # as it is
    read = found["two_sided"]
    assert read["auc"]["values"] == pytest.approx([0.6, 0.59, 0.58])
    plain = mean_interval([0.4, 0.41, 0.42])
    assert [read["auc"][key] for key in ("mean", "low", "high")] == pytest.approx(
        [1 - plain["mean"], 1 - plain["high"], 1 - plain["low"]]
    )
    assert (read["auc"]["side"], read["tpr"]["side"], read["by_group"]["side"]) == ("low", "low", "low")
    assert read["tpr"]["values"] == [0.3, 0.3, 0.3]
    assert "two_sided" not in row_of(table, "none")["attacks"]["lira"]
    # The difference to the baseline and the strongest are of the figures as read.
    against = row_of(table, "turned")["against"]["attacks"]["lira"]["auc"]
    assert against["values"] == pytest.approx([0.6 - 0.95, 0.59 - 0.96, 0.58 - 0.97])
    assert row_of(table, "turned")["strongest"]["mean"] == pytest.approx(0.3)


def test_the_seeds_chosen_side_covers_its_choice():
    """Means over three seeds of areas about one half: the larger side's interval holds one half as often as it may."""
    generator, covered = np.random.default_rng(0), []
    for _ in range(600):
        values = 0.5 + 0.05 * generator.normal(size=3)
        attacks = [
            {
                "auc": float(area), "tpr_at_fpr": [{"fpr": 0.1, "tpr": float(rates[0])}],
                "two_sided": {"tpr_at_fpr": [{"fpr": 0.1, "tpr": float(max(rates)), "low_tail": float(rates[1])}]},
            }
            for area, rates in zip(values, 0.1 + 0.03 * generator.normal(size=(3, 2)), strict=True)
        ]  # fmt: skip
        found = two_sided_figures(attacks, 0.1, 0.95)
        covered.append((found["auc"]["low"] <= 0.5, found["tpr"]["low"] <= 0.1 <= found["tpr"]["high"]))
    assert np.mean(covered, axis=0).min() >= 0.93


def test_the_table_has_perplexity_both_sides_groups_extraction_and_each_audits_own_interval(table):
    text = comparison_markdown(table)
    header = next(line for line in text.splitlines() if line.startswith("| Defence"))
    for title in ("Perplexity", "Loss gap [nats]", "LiRA AUC", "whole groups", "Given back greedily", "less held-out"):
        assert title in header
    assert "Accuracy" not in header
    turned = next(line for line in text.splitlines() if line.startswith("| turned"))
    assert turned.count("↓") >= 3
    assert "0.590 [0.565, 0.615] ↓" in turned
    assert "a group by 'author': 8 of members" in text
    assert "LiRA in each audit by itself [95 % interval of that audit, over its groups by 'author']" in text
    assert "AUC, seed 2" in text
    assert "read from both sides" in text


def test_the_plot_has_perplexity_by_its_logarithm_and_says_that_left_is_better(table):
    figure = comparison_figure(table)
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert axes.get_xlabel() == "perplexity on non-members"
        low, high = axes.get_xlim()
        assert low < 20
        assert high > 32
    assert "lower and further left is better" in figure.legends[0].get_title().get_text()
    points = [container.lines[0].get_xydata()[0].tolist() for container in figure.axes[0].containers]
    assert points == [
        [pytest.approx(21), pytest.approx(0.96)],
        [pytest.approx(31), pytest.approx(0.59)],  # as read
    ]


def test_files_are_written_and_rows_without_extraction_have_dashes(make_language_report, gather, tmp_path):
    table = gather(
        {
            "none": [make_language_report(20 + seed, 0.9) for seed in SEEDS],
            "ccl": [make_language_report(25 + seed, 0.8, given_back=None) for seed in SEEDS],
        }
    )
    assert row_of(table, "ccl")["extraction"] is None
    assert row_of(table, "ccl")["against"]["extraction"] is None
    write_comparison(tmp_path, table)
    assert json.loads((tmp_path / "comparison.json").read_text()) == table
    lines = (tmp_path / "comparison.md").read_text().splitlines()
    assert next(line for line in lines if line.startswith("| ccl")).rstrip(" |").endswith("–")
    assert (tmp_path / "comparison.png").is_file()


def test_over_the_targets_of_one_audit_perplexity_and_gap_are_theirs(make_language_report, gather):
    report = copy.deepcopy(make_language_report(20, 0.9))
    shares = {"mean": 0.9, "low": 0.8, "high": 1.0, "values": [0.88, 0.92]}
    amounts = {
        f"{side}_{name}": mean_interval(values, within=(0.0, np.inf))
        for side, values in (("member", [10.0, 12.0]), ("nonmember", [20.0, 24.0]))
        for name, values in (("perplexity", values), ("loss", [float(np.log(value)) for value in values]))
    }
    report["targets"] = {
        "n_targets": 2, "confidence": 0.95, **amounts, "member_token_accuracy": shares,
        "nonmember_token_accuracy": shares,
        "attacks": [
            {"name": name, "title": name, "auc": shares, "tpr_at_fpr": [{"fpr": 0.01, **shares}]}
            for name in ("lira", "rmia")
        ],
    }  # fmt: skip
    table = gather({"none": [report]}, seeds=[0], overrides={"audit": {"targets": 2}})
    row = row_of(table, "none")
    assert row["perplexity"]["values"] == [20.0, 24.0]
    assert row["gap"]["values"] == pytest.approx([np.log(2)] * 2)
    assert row["extraction"]["members"]["over"] == "examples"
    assert "2 targets" in comparison_markdown(table)
    assert "two_sided" not in row["attacks"]["lira"]
    for attack in report["targets"]["attacks"]:
        attack["auc"] = mean_interval([0.4, 0.42])
        rate = {"fpr": 0.01, **two_sided_mean_rate([0.0, 0.01], [0.2, 0.3], confidence=0.95)}
        area = two_sided_mean_area([0.4, 0.42], confidence=0.95)
        attack["two_sided"] = {"side": area["side"], "auc": area, "tpr_at_fpr": [rate]}
    table = gather({"relax_loss": [report]}, seeds=[0], overrides={"audit": {"targets": 2}})
    found = row_of(table, "relax_loss")["attacks"]["lira"]
    assert found["auc"]["mean"] == pytest.approx(0.41)
    assert found["two_sided"]["auc"]["values"] == pytest.approx([0.6, 0.58])
    assert (found["two_sided"]["tpr"]["mean"], found["two_sided"]["tpr"]["side"]) == (0.25, "low")
    line = next(line for line in comparison_markdown(table).splitlines() if line.startswith("| relax_loss"))
    assert "0.590" in line
    assert "↓" in line
    comparison_figure(table)


@pytest.mark.parametrize(
    ("task", "attack", "said"),
    [
        ("causal-lm", "entropy", "'entropy', which is made on classifiers, and these have none"),
        ("tabular-classification", "min_k", "'min_k', which is made on language models, and these have classes"),
    ],
)
def test_an_attack_that_no_report_would_have_is_refused_before_anything_is_trained(task, attack, said):
    recipe = {"task": task, "model": {"name_or_path": "a/b"}, "data": {"name_or_path": "none.parquet"}}
    plan = Comparison.from_dict({"recipe": recipe, "defenses": {"none": {}}, "attacks": [attack]})
    with pytest.raises(InputError, match=said):
        check_comparison(plan, Experiments())
