"""A report holds the bounds of the verdict's levels that its recipe set, and says whose they are."""

from __future__ import annotations

import json

from hf_privacy.hub import levels_record
from hf_privacy.reports import what_it_means


def test_a_report_keeps_the_bounds_and_its_page_says_whose_they_are(report):
    report.levels = levels_record(None, [0.52, 0.6, 0.7])
    kept = json.loads(json.dumps(report.to_dict()))
    assert kept["levels"] == {"aucs": [0.52, 0.6, 0.7]}
    said = " ".join(what_it_means(report))
    assert "moderate from 0.52, high from 0.6, very high from 0.7" in said
    assert "These bounds are those that the audit's recipe set" in said
    report.levels = None
    assert "levels" not in report.to_dict()
    assert "These bounds are this package's" in " ".join(what_it_means(report))
