"""Robust accuracy and memorization in a comparison, over seeds and over the targets of one audit."""

from __future__ import annotations

import copy
import json
import re

import pytest

from hf_privacy.auditing import mean_interval
from hf_privacy.comparison import Comparison, comparison_figure, comparison_markdown, write_comparison
from hf_privacy.comparison.plot import robust_attack
from hf_privacy.errors import InputError

BY_TARGETS = {"seeds": [0], "overrides": {"audit": {"targets": 5}}}


@pytest.fixture
def seeds_table(gather, make_report):
    return gather(
        {
            "none": [make_report(0.8, 0.02 + 0.02 * seed, 0.4) for seed in range(3)],
            "demem": [make_report(0.7, 0.4 + 0.03 * seed, 0.2) for seed in range(3)],
        }
    )


@pytest.fixture
def targets_table(gather, make_report):
    return gather(
        {name: [make_report(*figures, n_targets=5)] for name, figures in MADE.items()}, **copy.deepcopy(BY_TARGETS)
    )


MADE = {"none": (0.8, 0.1, 0.4), "demem": (0.7, 0.42, 0.2)}


def line_of(text: str, start: str) -> list[str]:
    return [
        cell.strip() for cell in next(line for line in text.splitlines() if line.startswith(start)).split("|")[1:-1]
    ]


def test_robust_accuracy_is_a_mean_over_the_seeds_with_its_interval(seeds_table):
    figure = seeds_table["rows"][1]["robustness"]["accuracies"]["pgd"]["nonmembers"]
    expected = mean_interval([0.4, 0.43, 0.46])
    assert figure["values"] == pytest.approx([0.4, 0.43, 0.46])
    for key in ("mean", "low", "high"):
        assert figure[key] == pytest.approx(expected[key])


def test_the_table_has_robust_columns_and_the_differences_have_them_too(seeds_table):
    text = comparison_markdown(seeds_table)
    headers = line_of(text, "| Defence")
    assert headers[:5] == ["Defence", "Accuracy", "PGD-20", "AutoAttack", "Train–test gap"]
    assert line_of(text, "| demem ")[2].startswith("43.0 [")
    difference = line_of(text, "| demem   | none")
    assert difference[3].startswith("+39.0 [")
    assert seeds_table["rows"][1]["against"]["robust_accuracy"]["pgd"]["values"] == pytest.approx([0.38, 0.39, 0.40])
    assert "L∞, ε = 8/255 in pixels of 0 to 1; PGD of 20 steps of 1/255" in text
    assert "upper bound" in text


def test_a_defence_without_robustness_has_dashes_there(gather, make_report):
    table = gather({"none": [make_report(0.8, None, 0.4)] * 3, "demem": [make_report(0.7, 0.4, 0.2)] * 3})
    text = comparison_markdown(table)
    assert line_of(text, "| none ")[2:4] == ["–", "–"]
    assert table["rows"][1]["against"]["robust_accuracy"] == {}


def test_without_any_robustness_no_column_and_no_plot_is_made(gather, make_report, tmp_path):
    table = gather({"none": [make_report(0.8, None, 0.4)] * 3})
    assert "PGD" not in comparison_markdown(table)
    assert robust_attack(table) is None
    (tmp_path / "comparison_robust.png").write_bytes(b"of an earlier comparison")
    write_comparison(tmp_path, table)
    assert not (tmp_path / "comparison_robust.png").exists()


def test_each_defence_has_its_memorization_groups_as_means_over_the_seeds(gather, make_report):
    reports = [make_report(0.7, 0.4, tpr) for tpr in (0.1, 0.2333, 0.3)]
    reports[2]["memorization_bins"] = [b for b in reports[2]["memorization_bins"] if b["memorization_from"] != 0.5]
    reports[2]["robustness"]["memorization_bins"] = []
    table = gather({"none": reports})
    last = table["rows"][0]["memorization_bins"][-1]
    assert (last["memorization_from"], last["memorization_to"], last["n_reports"]) == (0.5, 0.75, 2)
    assert last["tpr"]["lira"]["values"] == pytest.approx([0.075, 0.175], rel=1e-3)
    assert last["tpr"]["rmia"]["mean"] == pytest.approx(0.8 * last["tpr"]["lira"]["mean"])
    assert last["accuracies"]["pgd"]["members"]["mean"] == pytest.approx(0.24)
    text = comparison_markdown(table)
    row = next(line for line in text.splitlines() if "0.5 to 0.75" in line)
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        "none", "0.5 to 0.75 (2)", "60 / 50", "12.5", "10.0", "42.0 / 42.0", "24.0 / 24.0", "21.0 / 21.0",
    ]  # fmt: skip
    assert "A number of seeds in brackets" in text
    assert "below 0.1 (" not in text


def test_the_groups_are_said_to_be_each_defences_own(seeds_table):
    text = " ".join(comparison_markdown(seeds_table).split())
    assert "by each defence's own reference models, so that they do not hold the same examples" in text


def test_attacks_on_adversarial_inputs_have_a_table_of_their_own(seeds_table):
    text = comparison_markdown(seeds_table)
    after = text[text.index("Membership attacks on adversarial inputs") :]
    assert line_of(after, "| Defence") == ["Defence", "LiRA AUC", "LiRA TPR@1%"]
    assert line_of(after, "| none")[2].startswith("60.0 [")


def test_one_seed_with_several_targets_keeps_them_and_drops_budgets():
    plan = Comparison.from_dict(
        {
            "recipe": {"model": {"name_or_path": "timm/resnet18"}, "audit": {"targets": 6, "budgets": [2, 4]}},
            "seeds": [0],
            "defenses": {"none": {}},
        }
    )
    audit = plan.cells("none")[0].recipe.audit
    assert plan.by_targets
    assert (audit.targets, audit.budgets) == (6, [])


@pytest.mark.parametrize(("seeds", "targets"), [([0], 1), ([], 5), ([0, 0], 5)])
def test_one_seed_without_several_targets_gives_no_interval_and_is_refused(seeds, targets):
    with pytest.raises(InputError, match=r"at least 2 different ones.*audit\.targets of at least 2"):
        Comparison.from_dict(
            {
                "recipe": {"model": {"name_or_path": "timm/resnet18"}, "audit": {"targets": targets}},
                "seeds": seeds,
                "defenses": {"none": {}},
            }
        )


def test_over_targets_every_figure_is_that_of_the_reports_targets(targets_table, make_report):
    assert (targets_table["over"], targets_table["n_targets"]) == ("targets", 5)
    row, report = targets_table["rows"][1], make_report(*MADE["demem"], n_targets=5)
    assert row["accuracy"] == report["targets"]["nonmember_accuracy"]
    lira = report["targets"]["attacks"][0]
    assert row["attacks"]["lira"]["auc"] == lira["auc"]
    assert row["attacks"]["lira"]["tpr"] == {key: lira["tpr_at_fpr"][0][key] for key in ("mean", "low", "high")}
    pgd = report["robustness"]["targets"]["accuracies"][0]
    assert row["robustness"]["accuracies"]["pgd"]["nonmembers"] == {key: pgd[key] for key in ("mean", "low", "high")}


def test_what_was_measured_on_the_trained_model_alone_says_so(targets_table):
    alone = targets_table["rows"][1]["robustness"]["accuracies"]["autoattack"]["nonmembers"]
    assert alone == {"mean": 0.37, "low": pytest.approx(0.33), "high": pytest.approx(0.41), "over": "examples"}
    text = comparison_markdown(targets_table)
    assert "AutoAttack: of the trained model alone, with the interval over its examples" in text
    assert "PGD-20: of the trained model alone" not in text


def test_the_caption_says_what_the_means_are_over(targets_table, seeds_table):
    text = comparison_markdown(targets_table)
    assert "5 targets" in text
    assert (
        "Mean over the targets of one audit (the trained model, and reference models each attacked by the others)"
        in text
    )
    assert "By memorization (the trained model alone" in text
    assert "seeds" not in text
    assert "3 seeds" in comparison_markdown(seeds_table)


def test_without_each_targets_own_values_nothing_is_paired_and_no_difference_is_shown(targets_table):
    assert [row["against"] for row in targets_table["rows"]] == [None, None]
    assert "Difference" not in comparison_markdown(targets_table)
    gap = targets_table["rows"][0]["gap"]
    assert gap == {"mean": pytest.approx(0.1), "low": None, "high": None}
    assert line_of(comparison_markdown(targets_table), "| none ")[4] == "10.0"


def test_with_each_targets_own_values_differences_are_target_by_target(gather, make_report):
    reports = {name: [make_report(*made, n_targets=5, with_values=True)] for name, made in MADE.items()}
    reports["demem"][0]["targets"]["nonmember_accuracy"]["values"][0] -= 0.05
    table = gather(reports, **copy.deepcopy(BY_TARGETS))
    against = table["rows"][1]["against"]
    assert against["accuracy"]["values"] == pytest.approx([-0.15, -0.1, -0.1, -0.1, -0.1])
    assert against["robust_accuracy"]["pgd"]["values"] == pytest.approx([0.32] * 5)
    assert against["robust_accuracy"]["autoattack"] is None
    text = comparison_markdown(table)
    assert "target by target (same members, same training seed)" in text
    assert line_of(text, "| demem   | none")[4] == "–"


def test_an_attack_that_no_target_but_the_first_has_is_refused(gather, make_report):
    report = make_report(0.8, 0.1, 0.4, n_targets=5)
    report["attacks"].append({**report["attacks"][0], "name": "label_only", "title": "Label-only"})
    keys = copy.deepcopy(BY_TARGETS) | {"attacks": ["label_only"]}
    with pytest.raises(InputError, match=r"no report has over its targets: set audit\.keep_weights"):
        gather({"none": [report]}, **keys)


def test_the_second_plot_sets_leakage_against_robust_accuracy(seeds_table, targets_table):
    for table in (seeds_table, targets_table):
        assert robust_attack(table) == "pgd"
        figure = comparison_figure(table, across="pgd")
        label = "robust accuracy on non-members (PGD-20, L∞, ε = 8/255)"
        assert [axes.get_xlabel() for axes in figure.axes] == [label, label]
        points = [container.lines[0].get_xydata()[0].tolist() for container in figure.axes[1].containers]
        assert points == [
            [row["robustness"]["accuracies"]["pgd"]["nonmembers"]["mean"], row["attacks"]["lira"]["tpr"]["mean"]]
            for row in table["rows"]
        ]
    (legend,) = comparison_figure(targets_table).legends
    assert legend.get_title().get_text().startswith("Mean over 5 targets")


def test_files_hold_both_plots_and_the_whole_table(seeds_table, tmp_path):
    path = write_comparison(tmp_path / "out", seeds_table)
    text = path.read_text()
    for plot in re.findall(r"\]\((\w+\.png)\)", text):
        assert (path.parent / plot).read_bytes().startswith(b"\x89PNG")
    assert "comparison_robust.png" in text
    written = json.loads((path.parent / "comparison.json").read_text())
    assert written["rows"][0]["memorization_bins"] == seeds_table["rows"][0]["memorization_bins"]
