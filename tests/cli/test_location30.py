"""The recipe for location30 against the sanity anchor: a bare PyTorch loop measured before this package existed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_privacy.cli import main
from hf_privacy.hub import load_report_dict

RECIPE = Path(__file__).parents[2] / "recipes" / "tabular_classification" / "location30.yaml"
ANCHOR = {"loss": 0.770, "lira": 0.913, "rmia": 0.870}
TOLERANCE = 0.03


@pytest.mark.slow
def test_sixteen_references_give_the_anchors_areas(shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0}, raising=False)  # no worker beside the test
    keys = {
        "data.name_or_path": str(shared_data / "location30" / "train.parquet"),
        "output_dir": str(tmp_path / "run"),
        "audit.targets": "1",
    }
    arguments = ["--config", str(RECIPE), *(word for key, value in keys.items() for word in (f"--{key}", value))]
    assert main(["train", *arguments]) == 0
    assert main(["audit", *arguments]) == 0
    report = load_report_dict(tmp_path / "run")
    areas = {attack["name"]: attack["auc"] for attack in report["attacks"]}
    assert {name: areas[name] for name in ANCHOR} == pytest.approx(ANCHOR, abs=TOLERANCE)
    assert report["utility"]["member_accuracy"]["value"] == 1.0
    assert report["utility"]["nonmember_accuracy"]["value"] == pytest.approx(0.68, abs=0.03)
