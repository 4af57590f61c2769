"""The table of unlearners on TOFU from made-up cells: the judges' own noise, gaps in it, what diverged."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "recipes" / "unlearning"
CONFIG = {
    "seeds": [0, 1, 2],
    "requests": {"forget01": {"rows": 40}, "forget05": {"rows": 200}},
    "methods": {"npo": {"title": "NPO"}, "rmu": {"title": "RMU"}, "dpo": {"title": "IdkDPO"}},
}
GENERATOR = np.random.default_rng(0)


@pytest.fixture(scope="module")
def table():
    spec = importlib.util.spec_from_file_location("tofu_table", FOLDER / "tofu_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cell(shift, seconds):
    ratio = GENERATOR.lognormal(0.0, 0.1, 40) + shift
    figures = {name: [0.1 + shift / 10] * 40 for name in ("probability", "exact_memorization", "extraction_strength")}
    sides = [GENERATOR.normal(shift, 1, 40).tolist(), GENERATOR.normal(0, 1, 400).tolist()]
    one = {"probability": 0.2, "extraction_strength": 0.0, "truth_ratio": ratio.tolist()}
    return {
        "seconds": seconds,
        "forget": {"truth_ratio": ratio.tolist(), **figures},
        "forget_rouge": [0.5] * 40,
        "utility": {"utility": 0.4, "retain_probability": 0.3},
        "membership": {"scores": sides, "authors": [[0] * 20 + [1] * 20, (2 + np.arange(400) // 20).tolist()]},
        "treated": dict.fromkeys(("as it is", "4 bits", "relearned", "other text"), one),
    }


@pytest.fixture
def folder(tmp_path):
    cells = tmp_path / "cells" / "forget01"
    cells.mkdir(parents=True)
    (tmp_path / "search").mkdir()
    for seed in range(3):
        made = {"retrained": cell(0.0, 10.0), "original": cell(1.0, 12.0), "npo": cell(0.02, 2.0)}
        made["rmu"] = {"diverged": True} if seed else cell(3.0, 1.0)
        made["dpo"] = {"diverged": True}
        for name, value in made.items():
            (cells / f"{name}__{seed}.json").write_text(json.dumps(value))
    for number, distance in enumerate((0.3, None, 0.2)):
        parts = dict.fromkeys(("ks", "auc", "forget", "retain"), 0.1)
        tried = {"settings": {"learning_rate": number}, "seconds": 5.0, "distance": distance, **parts}
        (tmp_path / "search" / f"npo__learning_rate={number}.json").write_text(json.dumps(tried))
    return tmp_path


def test_figures_stand_beside_the_judges_own_noise(table, folder):
    found = table.summarized(CONFIG, folder)
    assert list(found["requests"]) == ["forget01"]  # of the other no model was retrained yet
    rows = found["requests"]["forget01"]["rows"]
    assert "statistic" not in rows["retrained"]["forget_quality"]
    assert rows["original"]["forget_quality"]["statistic"] == rows["original"]["forget_quality"]["beyond_null"] == 1.0
    assert rows["npo"]["forget_quality"]["statistic"] < 0.5
    gap = rows["original"]["auc"]["gap"]
    assert gap == pytest.approx(rows["original"]["auc"]["mean"] - rows["retrained"]["auc"]["mean"])
    assert rows["original"]["auc"]["gap_in_noise"] > 2
    assert rows["original"]["probability"]["gap_in_noise"] is None  # the judges do not differ: there is no unit
    assert rows["npo"]["time_ratio"] == pytest.approx(0.2)


def test_the_search_is_counted_and_what_diverged_is_said(table, folder):
    found = table.summarized(CONFIG, folder)
    assert found["search"]["tried"] == 3
    assert found["search"]["seconds"] == 15.0
    chosen = found["search"]["chosen"]
    assert (chosen["npo"]["settings"], chosen["npo"]["distance"]) == ({"learning_rate": 2}, 0.2)
    rows = found["requests"]["forget01"]["rows"]
    assert (rows["rmu"]["n_seeds"], rows["rmu"]["n_diverged"]) == (3, 2)
    written = table.markdown({**found, "config": CONFIG})
    assert "| IdkDPO | diverged (3 of 3) |" in written
    assert "| NPO | learning_rate 2 | 0.200 | 0.100 |" in written
    assert written.index("(retrained)") < written.index("NPO") < written.index("RMU") < written.index("IdkDPO")


def test_nothing_of_a_row_is_in_the_result(table, folder, tmp_path):
    file = tmp_path / "result.json"
    table.write_result(file, CONFIG, table.summarized(CONFIG, folder))
    result = json.loads(file.read_text())

    def longest(value):
        if isinstance(value, dict):
            return max((longest(one) for one in value.values()), default=0)
        if isinstance(value, list):
            return max([len(value), *map(longest, value)])
        return 0

    assert longest(result["requests"]) == 0  # figures alone, no list of values
