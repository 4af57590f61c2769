"""How much of an attack's true positives the most memorized examples carry."""

from __future__ import annotations

from typing import Any

from hf_privacy.hub.evidence import p_value_of
from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import listed, nullable, one_of, record
from hf_privacy.reports.titles import short_title
from hf_privacy.reports.words import percent, share, wrapped

FIELDS = {
    "leakage_share": nullable(
        record(
            "attack name, fpr open_unit",
            shares=listed(
                record("top open_unit, share optional_unit, low optional_unit, high optional_unit, n_examples count"),
                least=1,
                most=16,
            ),
            ranked_by=one_of("memorization"),
            description="Of the attack's true positives at the FPR, the share among the examples whose rank is in the "
            "top.",
        ),
        "How much of an attack's true positives the most memorized examples carry.",
    )
}


def leakage_sentence(report: Report) -> str:
    """Say what of the leakage the most memorized examples carry, beside what they would were it spread evenly."""
    found = report.leakage_share
    assert found is not None
    whose = f"of the true positives of {short_title(found['attack'], report.attacks)} at {percent(found['fpr'])} FPR"
    shares = [entry for entry in found["shares"] if entry["share"] is not None]
    if not shares:
        return f"There are none {whose}, so no share of the leakage falls to the most memorized examples."
    first, *others = shares
    carried = f"The {percent(first['top'])} most memorized examples carry {share(first, 'share')} {whose}"
    more = "".join(f", the {percent(entry['top'])} most memorized {share(entry, 'share')}" for entry in others)
    even = " and ".join(percent(entry["top"]) for entry in shares)
    said = f"{carried}{more}; were leakage spread evenly, they would carry {even}."
    if all(entry["low"] <= entry["top"] for entry in shares):
        said += " That they carry more than that was not shown."
    test = next(
        test for test in report.evidence["attacks"] if (test["attack"], test["inputs"]) == (found["attack"], "clean")
    )
    if (p_value_of(test, found["fpr"]) or 1.0) > report.evidence["level"]:
        said += " That these hits are more than chance would find was not shown, so neither is what they carry."
    return said


def lines(report: Report) -> str | None:
    return None if report.leakage_share is None else "\n".join(wrapped(leakage_sentence(report)))


def shown(report: Report) -> dict[str, Any]:
    return {"leakage": "".join(meaning(report))}


def meaning(report: Report) -> list[str]:
    return [] if report.leakage_share is None else [leakage_sentence(report)]
