"""What holds of all sections together: the schema, and the reports that this repository publishes."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import pytest

from hf_privacy.reports import CardData, PrivacyReport, render_card
from hf_privacy.reports.schema import report_schema, schema_text

ROOT = Path(__file__).resolve().parents[2]


def committed_reports() -> list[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(["git", "ls-files", "*privacy_report.json"], cwd=ROOT, capture_output=True, text=True)
    return listed.stdout.split()


def test_the_published_schema_is_that_of_the_sections():
    """Write it anew with `python -m hf_privacy.reports.schema`."""
    assert files("hf_privacy.hub").joinpath("privacy_report.schema.json").read_text(encoding="utf-8") == schema_text()


def test_every_field_of_the_report_has_its_section():
    assert set(report_schema()["$defs"]["report"]["properties"]) == {field.name for field in fields(PrivacyReport)}


@pytest.mark.skipif(not committed_reports(), reason="this is no git checkout")
@pytest.mark.parametrize("path", committed_reports())
def test_every_committed_report_is_read_shown_and_written_as_it_was(path):
    report = PrivacyReport.load(ROOT / Path(path).parent)
    assert report.table().startswith("VERDICT: ")
    assert report.model["weights_sha256"] in render_card(report, CardData())
    written = report.rendered()
    assert json.loads(written["privacy_report.json"]) == json.loads((ROOT / path).read_text(encoding="utf-8"))
    assert written["privacy_report.html"] == (ROOT / path).with_suffix(".html").read_bytes()
