"""The defence, and the bounds on ε: guaranteed from above, measured from below."""

from __future__ import annotations

from typing import Any

from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import nullable, one_of, record, shape
from hf_privacy.reports.words import percent, value_rows

SHAPES = {"defense": record("name text, parameters free", paper=nullable(record("title text, id text")))}
# Whose presence a guarantee hides; reports before version 0.3 do not say that it is a row.
_UNITS = {"row": "training example", "group": "group of training examples"}
_BOUND = "epsilon amount, delta unit"
FIELDS = {
    "defense": shape("defense"),
    "epsilon": record(
        upper=nullable(record(f"{_BOUND}, accountant text, sampler text", optional="unit", unit=one_of(*_UNITS))),
        lower=nullable(record(f"{_BOUND}, confidence open_unit, method text")),
    ),
}


def facts(report: Report) -> list[tuple[str, str]]:
    return method_facts(report.defense, name="Name")


def method_facts(method: dict[str, Any], *, name: str) -> list[tuple[str, str]]:
    """Give name, parameters and paper of a defence or of an unlearner."""
    paper = method["paper"]
    rows = [(name, method["name"]), *value_rows(method["parameters"])]
    return [*rows, ("Paper", f"{paper['title']} ({paper['id']})")] if paper else rows


def bound_facts(report: Report) -> list[tuple[str, str]]:
    """Give both bounds on ε."""
    return [
        ("Guaranteed, at most", _epsilon(report.epsilon["upper"])),
        ("Measured, at least", _epsilon(report.epsilon["lower"])),
    ]


def meaning(report: Report) -> list[str]:
    sentences = []
    upper, lower = report.epsilon["upper"], report.epsilon["lower"]
    if upper is not None:
        sentences.append(
            f"The training gives differential privacy with ε = {upper['epsilon']:.3g} at δ = {upper['delta']:.3g} "
            f"for each {_UNITS[upper.get('unit', 'row')]} ({upper['accountant']}, {upper['sampler']} sampling): a "
            "guarantee against every attack, if the implementation is right."
        )
    if lower is not None and report.canaries is None:
        sentences.append(
            f"The attacks show, at {percent(lower['confidence'])} confidence, that ε is at least "
            f"{lower['epsilon']:.3g} at δ = {lower['delta']:.3g} ({lower['method']})."
        )
    return sentences


def limits(report: Report) -> list[str]:
    if report.epsilon["upper"] is not None:
        return []
    return ["No differential-privacy guarantee (upper bound on ε) comes with this model."]


def _epsilon(bound: dict[str, Any] | None) -> str:
    if bound is None:
        return "none"
    unit = ", for each group" if bound.get("unit") == "group" else ""
    source = bound.get("method") or f"{bound['accountant']}, {bound['sampler']} sampling{unit}"
    confidence = f", {percent(bound['confidence'])} confidence" if "confidence" in bound else ""
    return f"ε = {bound['epsilon']:.3g} at δ = {bound['delta']:.3g} ({source}{confidence})"
