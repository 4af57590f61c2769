"""Robust accuracy, leakage by memorization and the share of the most memorized, in each form of the report."""

from __future__ import annotations

import copy
import re

import pytest
import yaml
from huggingface_hub import ModelCard

from hf_privacy.reports import CardData, PrivacyReport, png_bytes, render_card, render_page, write_card
from hf_privacy.reports.explain import what_it_does_not_mean, what_it_means
from hf_privacy.reports.sections.leakage_share import leakage_sentence
from hf_privacy.reports.sections.memorization import memorization_table
from hf_privacy.reports.sections.memorization_plot import MEMORIZATION_FILE, is_drawn, memorization_figure
from hf_privacy.reports.titles import attack_words, epsilon_text


def page_text(report, **pngs) -> str:
    page = render_page(report, roc_png=b"\x89PNG", scores_png=b"\x89PNG", **pngs)
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)).split())


def test_the_joined_table_holds_everyone_first_and_then_the_groups_in_order(robust_report):
    table = memorization_table(robust_report)
    assert table.accuracies == [("clean", "Clean"), ("pgd", "PGD-20"), ("autoattack", "AutoAttack")]
    assert table.attacks == [("lira", "LiRA"), ("rmia", "RMIA")]
    labels = ["all examples", "below 0.1", "0.1 to 0.25", "0.25 to 0.5", "0.5 to 0.75", "0.75 to 1"]
    assert [row.label for row in table.rows] == labels
    lira = next(attack for attack in robust_report.attacks if attack["name"] == "lira")
    reported = next(entry for entry in lira["tpr_at_fpr"] if entry["fpr"] == 0.01)
    assert table.rows[0].rates["lira"] == (reported["tpr"], reported["low"], reported["high"])
    assert table.rows[0].accuracies["pgd", "nonmembers"]["value"] == 0.45
    assert table.rows[5].rates["rmia"] == pytest.approx((0.41, 0.205, 0.533))
    assert table.rows[5].accuracies["autoattack", "members"]["n_examples"] == 30


def test_a_report_with_neither_has_no_joined_table(report):
    assert memorization_table(report) is None


def test_a_group_that_only_one_side_counts_keeps_its_row(robust_report):
    robust_report.memorization_bins = [b for b in robust_report.memorization_bins if b["memorization_from"] != 0.75]
    last = memorization_table(robust_report).rows[-1]
    assert (last.label, last.n_members, last.rates) == ("0.75 to 1", None, {})
    assert ("pgd", "members") in last.accuracies
    assert "0.75 to 1     -" in robust_report.table()


def test_the_text_table_has_accuracy_beside_leakage_in_at_most_100_columns(robust_report):
    text = robust_report.table()
    assert max(map(len, text.splitlines())) <= 100
    header = next(line for line in text.splitlines() if line.startswith("Memorization"))
    columns = ["Memorization", "Examples", "Clean", "PGD-20", "AutoAttack", "LiRA TPR@1%", "RMIA TPR@1%"]
    assert re.split(r"\s{2,}", header) == columns
    row = next(line for line in text.splitlines() if line.startswith("0.75 to 1"))
    assert re.split(r"\s{2,}", row) == [
        "0.75 to 1", "30 / 35", "73.3 / 10.0", "46.7 / 6.7", "43.3 / 3.3", "61.0", "41.0",
    ]  # fmt: skip
    assert "L∞, ε = 8/255 in pixels of 0 to 1; PGD of" in text
    assert "Mean accuracy over 5 training runs" in text
    assert "Membership attacks on adversarial inputs" in text
    assert "most memorized examples carry 6.2 %" in text


def test_an_accuracy_of_part_of_the_examples_says_so_everywhere(robust_report):
    said = "Measured on part of the examples: AutoAttack, 100 members and 100 non-members."
    assert said in robust_report.table()
    assert said in page_text(robust_report)
    assert said in render_card(robust_report, CardData())
    for entry in robust_report.robustness["accuracies"]:
        entry["n_examples"] = 200
    assert "Measured on part" not in robust_report.table()


def test_a_quick_audit_has_robust_accuracy_without_groups(quick_report, robust_dict):
    quick_report.robustness = {
        **robust_dict["robustness"], "memorization_bins": [], "membership_attacks": [], "targets": None,
    }  # fmt: skip
    text = quick_report.table()
    assert re.search(r"all examples +200 / 200 +90\.0 / 75\.0 +60\.0 / 45\.0", text)
    assert "adversarial inputs" not in text
    assert "below 0.1" not in page_text(quick_report)
    assert not is_drawn(memorization_table(quick_report))


def test_bins_of_several_attacks_are_grouped_by_attack(robust_report, made_up_evidence):
    robust_report.robustness = None
    robust_report.evidence = made_up_evidence(vars(robust_report))
    text = page_text(robust_report)
    lira, rmia = (
        text.index(f"{title}, by memorization Memorization TPR")
        for title in ("LiRA (online, pooled variance)", "RMIA")
    )
    assert lira < rmia
    assert text[lira:rmia].count("below 0.1") == 1
    assert "61.0 %" in text[lira:rmia]
    assert "41.0 %" in text[rmia:]
    assert re.search(r"below 0\.1 +90 / 95 +1\.0 +1\.0\n", robust_report.table())


def test_the_page_has_the_joined_table_the_adversarial_attacks_and_the_share(robust_report):
    text = page_text(robust_report, memorization_png=b"\x89PNG memorization")
    for said in (
        "Robustness beside leakage", "PGD-20", "AutoAttack", "35 non-members", "[5.1, 26.8]",
        "Membership attacks on adversarial inputs", "Over 5 training runs", "Clean, non-members: 75.2 % [74.1, 76.3]",
        "The 1 % most memorized examples carry 6.2 %", "L∞, pixels", "8/255", "5.2 min",
    ):  # fmt: skip
        assert said in text


def test_every_header_cell_of_the_page_says_what_it_heads(robust_report):
    page = render_page(robust_report, roc_png=b"", scores_png=b"", memorization_png=b"\x89PNG")
    assert set(re.findall(r"<th( scope=\"\w+\")?", page.replace("<thead", ""))) == {
        ' scope="col"', ' scope="row"', ' scope="rowgroup"',
    }  # fmt: skip
    assert all(len(alt) > 40 for alt in re.findall(r'alt="([^"]*)"', page))
    assert len(re.findall("<img", page)) == 3


@pytest.mark.parametrize(
    "said",
    [
        "It is an upper bound: what these attacks (PGD-20, AutoAttack) could not break",
        "(L∞ norm, ε = 8/255, in pixels)",
        "membership attacks on adversarial inputs",
        "The 1 % most memorized examples carry 6.2 % [3 %, 11 %] of the true positives of LiRA at 1 % FPR, the 5 % "
        "most memorized 31 % [24 %, 39 %]; were leakage spread evenly, they would carry 1 % and 5 %.",
    ],
)
def test_what_the_figures_mean(robust_report, said):
    assert said in " ".join(what_it_means(robust_report))


def test_robust_accuracy_certifies_nothing_and_pgd_alone_is_warned_of(report, robust_report):
    assert "certifies nothing" in " ".join(what_it_does_not_mean(robust_report))
    assert "certifies" not in " ".join(what_it_does_not_mean(report))
    assert "AutoAttack was not run" not in " ".join(what_it_means(robust_report))
    robust_report.robustness["accuracies"] = [
        entry for entry in robust_report.robustness["accuracies"] if entry["name"] != "autoattack"
    ]
    assert "AutoAttack was not run" in " ".join(what_it_means(robust_report))


def test_without_any_true_positive_there_is_no_share_to_speak_of(robust_report):
    for entry in robust_report.leakage_share["shares"]:
        entry.update(share=None, low=None, high=None)
    assert leakage_sentence(robust_report).startswith("There are none of the true positives of LiRA at 1 % FPR")
    robust_report.to_dict()


@pytest.mark.parametrize(
    ("norm", "space", "epsilon", "said"),
    [
        ("linf", "pixels", 8 / 255, "8/255"),
        ("linf", "pixels", 0.0314, "0.0314"),
        ("l2", "pixels", 1.0, "1"),
        ("linf", "features", 0.1, "0.1"),
        ("linf", "pixels", 0.0, "0"),
    ],
)
def test_epsilon_is_written_in_255ths_only_where_it_is_one(norm, space, epsilon, said):
    robustness = {"norm": norm, "space": space, "epsilon": epsilon, "n_steps": 1, "step_size": None}
    assert epsilon_text(robustness) == said
    assert attack_words(robustness).endswith("PGD of 1 step")


def lines_of(axes) -> dict:
    return {container.get_label(): container.lines[0].get_ydata().tolist() for container in axes.containers}


def test_the_plot_draws_every_accuracy_and_every_attack_by_group(robust_report):
    table = memorization_table(robust_report)
    accuracy, rates = memorization_figure(table).axes
    drawn = lines_of(accuracy)
    assert list(drawn)[:3] == ["Clean, members", "Clean, non-members", "PGD-20, members"]
    assert len(drawn) == 6
    assert drawn["PGD-20, non-members"] == [row.accuracies["pgd", "nonmembers"]["value"] for row in table.groups]
    assert lines_of(rates) == {
        "LiRA": pytest.approx([0.01, 0.16, 0.31, 0.46, 0.61]),
        "RMIA": pytest.approx([0.01, 0.11, 0.21, 0.31, 0.41]),
    }
    assert rates.get_xticklabels()[0].get_text() == "below 0.1\n90, 95"
    assert accuracy.get_title(loc="left") == "Accuracy"
    assert rates.get_title(loc="left") == "Members recognised: TPR at 1 % FPR"
    assert png_bytes(memorization_figure(table)) == png_bytes(memorization_figure(table))


def test_without_robustness_the_plot_has_the_rates_alone(robust_report):
    robust_report.robustness = None
    (axes,) = memorization_figure(memorization_table(robust_report)).axes
    assert set(lines_of(axes)) == {"LiRA", "RMIA"}


def test_the_plot_is_saved_and_taken_away_again_with_the_groups(report, robust_report, tmp_path):
    robust_report.save(tmp_path)
    assert (tmp_path / MEMORIZATION_FILE).read_bytes().startswith(b"\x89PNG")
    assert PrivacyReport.load(tmp_path) == robust_report
    report.save(tmp_path, replace_report=True)
    assert not (tmp_path / MEMORIZATION_FILE).exists()


def test_the_card_has_the_table_the_plot_and_the_adversarial_attacks(robust_report):
    card = render_card(robust_report, CardData())
    for said in (
        "### Robustness and leakage, by memorization",
        "| Memorization | Members / non-members | Clean | PGD-20 | AutoAttack | LiRA TPR | RMIA TPR |",
        "| 0.75 to 1 | 30 / 35 | 73.3 / 10.0 | 46.7 / 6.7 | 43.3 / 3.3 | 61.0 | 41.0 |",
        "](privacy_memorization.png)", "### Membership attacks on adversarial inputs",
    ):  # fmt: skip
        assert said in card
    assert card.count("| LiRA (online, pooled variance) | 16 |") == 2


def test_the_card_of_a_plain_report_says_nothing_of_it(report):
    card = render_card(report, CardData())
    assert "privacy_memorization.png" not in card
    assert "obust" not in card


def test_robust_accuracy_of_held_out_examples_is_in_the_model_index(robust_report):
    results = ModelCard(render_card(robust_report, CardData(pipeline_tag="image-classification"))).data.eval_results
    robust = {r.metric_args["attack"]: r for r in results if r.metric_type == "robust_accuracy"}
    assert {name: result.metric_value for name, result in robust.items()} == {"pgd": 0.45, "autoattack": 0.41}
    assert robust["pgd"].metric_name == "Robust accuracy (PGD-20, L∞, ε = 8/255)"
    assert robust["pgd"].metric_args["n_steps"] == 20
    assert robust["autoattack"].metric_args["n_examples"] == 100
    assert robust["pgd"].metric_args["low"] < 0.45 < robust["pgd"].metric_args["high"]
    adversarial = [r for r in results if (r.metric_args or {}).get("inputs") == "adversarial"]
    assert {r.metric_type for r in adversarial} == {"membership_inference_auc", "membership_inference_tpr_at_fpr"}
    assert all("on adversarial inputs" in r.metric_name for r in adversarial)


def test_writing_the_card_again_does_not_double_our_results_in_someone_elses_card(robust_report, tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n\n# Mine\n")
    write_card(tmp_path, robust_report, CardData())
    once = (tmp_path / "README.md").read_text()
    write_card(tmp_path, copy.deepcopy(robust_report), CardData())
    assert (tmp_path / "README.md").read_text() == once
    index = yaml.safe_load(once.split("---")[1])["model-index"]
    kinds = [metric["type"] for result in index[0]["results"] for metric in result["metrics"]]
    assert kinds.count("robust_accuracy") == 2


def test_a_share_that_chance_explains_is_not_called_concentrated(robust_report):
    assert "not shown" not in leakage_sentence(robust_report)
    for entry in robust_report.leakage_share["shares"]:
        entry["low"] = entry["top"] / 2
    assert leakage_sentence(robust_report).endswith("That they carry more than that was not shown.")
    for test in robust_report.evidence["attacks"]:
        for entry in test["tpr"]:
            entry["p_value"] = 0.3
    assert "more than chance would find was not shown" in leakage_sentence(robust_report)
