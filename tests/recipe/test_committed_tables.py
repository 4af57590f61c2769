"""The tables in the recipes' READMEs are those of the committed results, and their intervals lie where figures can."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml

from hf_privacy.comparison.markdown import comparison_markdown

RECIPES = Path(__file__).parents[2] / "recipes"
NUMBER = r"[+\-−]?\d+(?:\.\d+)?(?:e[+\-]?\d+)?"
INTERVAL = re.compile(rf"({NUMBER})(?: %)? \[({NUMBER}), ({NUMBER})\]")
SYMMETRIC = re.compile(rf"({NUMBER}) ± (\d+(?:\.\d+)?)")
# Figures that are shares or areas, by the headers of their columns.
SHARES = re.compile(r"AUC|TPR|[Aa]ccuracy|^UA$|^RA$|^TA$|MIA|AvgGap|PGD-20|AutoAttack|trained on|perturbed")
COMPARISONS = {
    "defenses/location30_result.json": "defenses",
    "defenses/cifar10_small_result.json": "defenses",
    "defenses/robust/fashion_mnist_result.json": "defenses/robust",
    "causal_lm/defenses/tofu_result.json": "causal_lm/defenses",
}


def normalised(line: str) -> str:
    return " | ".join(cell.strip() for cell in line.strip().strip("|").split("|"))


def table_rows(text: str) -> list[str]:
    lines = [normalised(line) for line in text.splitlines() if line.startswith("|")]
    return [line for line in lines if set(line) - set("-| ")]


def tables(text: str):
    """Header and rows of each table of a Markdown text."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        is_row = line.startswith("|")
        if is_row and not inside:
            found.append([])
        inside = is_row
        if is_row and set(normalised(line)) - set("-| "):
            found[-1].append(normalised(line).split(" | "))
    return [(table[0], table[1:]) for table in found]


def number(text: str) -> float:
    return float(text.replace("−", "-"))


PAGES = sorted(path for path in RECIPES.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(RECIPES)) for page in PAGES])
def test_an_interval_holds_its_mean_and_lies_where_the_figure_can(page):
    for header, rows in tables(page.read_text(encoding="utf-8")):
        for row in rows:
            # Half of an interval that was cut at 0 reaches below 0: such a one is printed with both its ends.
            for mean, half in SYMMETRIC.findall(" ".join(row)):
                assert number(mean) - float(half) >= 0.0, row
            for title, cell in zip(header, row, strict=False):
                for mean, low, high in INTERVAL.findall(cell):
                    assert number(low) <= number(mean) <= number(high), (title, cell)
                    is_difference = any(text.startswith(("+", "-", "−")) for text in (mean, low, high))
                    if SHARES.search(title) and not ("Against" in header and is_difference):
                        assert number(low) >= 0.0, (title, cell)
                        assert number(high) <= 100.0, (title, cell)


@pytest.mark.parametrize("result", COMPARISONS)
def test_the_readmes_of_comparisons_hold_every_row_of_the_committed_result(result):
    table = json.loads((RECIPES / result).read_text(encoding="utf-8"))
    written = set(table_rows((RECIPES / COMPARISONS[result] / "README.md").read_text(encoding="utf-8")))
    assert set(table_rows(comparison_markdown(table))) - written == set()


def test_the_shipped_example_of_unlearning_has_what_its_search_chose_and_unlearns_well():
    folder = RECIPES / "unlearning"
    result = json.loads((folder / "one_class_search_result.json").read_text(encoding="utf-8"))["class"]
    search = yaml.safe_load((folder / "one_class_search.yaml").read_text(encoding="utf-8"))
    section = yaml.safe_load((folder / "one_class.yaml").read_text(encoding="utf-8"))["unlearning"]
    chosen = min(search["methods"], key=lambda name: result[name]["search_gap"])
    method, row = search["methods"][chosen], result[chosen]
    assert section["method"] == method["method"]
    assert section["training"] == {**method.get("training", {}), **row["settings"]}
    assert section["request"] == {"label": search["requests"]["class"]["label"]}
    # Measured on another digit than was searched on: what was kept, and how far it is from retraining.
    assert result["retrained"]["figures"]["RA"]["mean"] - row["figures"]["RA"]["mean"] < 0.02
    assert row["avg_gap"] < 0.02


@pytest.mark.parametrize("name", ["location30", "fashion_mnist", "sst2_lora", "one_class_search"])
def test_the_unlearning_readme_holds_every_row_of_the_committed_results(name):
    folder = RECIPES / "unlearning"
    spec = importlib.util.spec_from_file_location("unlearning_cells", folder / "cells.py")
    cells = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cells)
    config = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    result = json.loads((folder / f"{name}_result.json").read_text(encoding="utf-8"))
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert set(table_rows(cells.markdown(config, result))) - set(table_rows(readme)) == set()
    if name == "one_class_search":  # not of the table of all methods
        return
    summary = next(rows for header, rows in tables(readme) if header[0] == "AvgGap in points")
    printed = {cell.strip("*") for row in summary for cell in row}
    for request in result.values():
        for row in (row for key, row in request.items() if key != "sizes"):
            gap = {"mean": row["avg_gap"], "low": row["avg_gap_low"], "high": row["avg_gap_high"]}
            assert cells.percent(gap) in printed


def test_the_unlearning_readme_holds_every_row_of_the_result_on_tofu():
    folder = RECIPES / "unlearning"
    spec = importlib.util.spec_from_file_location("tofu_table", folder / "tofu_table.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    result = json.loads((folder / "tofu_result.json").read_text(encoding="utf-8"))
    rows = table_rows((folder / "README.md").read_text(encoding="utf-8"))
    assert len(result["search"]["chosen"]) >= 12
    assert set(table_rows(table.markdown(result))) - set(rows) == set()


LANGUAGE = RECIPES / "causal_lm"
LANGUAGE_RESULTS = sorted(path.name for path in LANGUAGE.glob("*_result.json"))


def test_there_are_results_of_language_models():
    assert len(LANGUAGE_RESULTS) >= 3


@pytest.mark.parametrize("name", LANGUAGE_RESULTS)
def test_the_readme_of_language_models_holds_every_row_of_the_committed_results(name):
    spec = importlib.util.spec_from_file_location("language_table", LANGUAGE / "table.py")
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    result = json.loads((LANGUAGE / name).read_text(encoding="utf-8"))
    rows = table_rows((LANGUAGE / "README.md").read_text(encoding="utf-8"))
    assert result["targets"]["n_targets"] >= 3
    assert set(table_rows(table.markdown(result))) - set(rows) == set()
    assert any(row.endswith(normalised(table.summary(result))) for row in rows)
