"""How much likelier a language model's rows, and whole groups of them, are for models that were trained on them."""

from __future__ import annotations

from typing import Any

from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import nullable, one_of, record
from hf_privacy.reports.words import wrapped

_MEAN = "mean signed_unit, low signed_unit, high signed_unit"
_FOLLOWED = "signed_unit, low signed_unit, high signed_unit"
FIELDS = {
    "memorization": nullable(
        record(
            f"n_references positive_count, n_examples positive_count, confidence open_unit, {_MEAN}, "
            "standard_error optional_amount, reliability optional_unit",
            measure=one_of("probability"),
            groups=nullable(record(f"n_groups several, n_above count, {_MEAN}")),
            curvature=nullable(
                record(
                    f"spearman {_FOLLOWED}, n_examples positive_count",
                    base=nullable(record(f"spearman {_FOLLOWED}")),
                    description="How closely the curvature of the target's loss follows memorization over its "
                    "members, and how closely that of the checkpoint before fine-tuning does.",
                )
            ),
            description="Feldman and Zhang's memorization by the geometric mean of the probabilities of a row's "
            "tokens; of groups, how many have an interval above 0. Never a row's or a group's own score.",
        ),
        "How much likelier rows, and groups of them, are for models that were trained on them.",
    )
}


def sentences(report: Report) -> list[str]:
    """Say how much is memorized, of rows and of groups, and whether curvature knows it."""
    found = report.memorization
    if found is None:
        return []
    unit = report.split.get("unit") or "group"
    by = f"over groups by {unit}" if found["groups"] else "over rows"
    said = [
        f"Models trained on a row give its tokens {_figure(found, 'mean')} more probability (geometric mean; "
        f"{found['n_references']} reference models, {found['n_examples']:,} rows, interval {by})."
    ]
    if found["standard_error"] is not None:
        trust = "" if found["reliability"] is None else f", their reliability {found['reliability']:.2f}"
        said[0] = f"{said[0][:-2]}; the standard error of a row's score is {found['standard_error']:.3f}{trust})."
    if found["groups"]:
        groups = found["groups"]
        said.append(
            f"Of {groups['n_groups']:,} groups by {unit}, {groups['n_above']:,} have an interval above 0; their mean "
            f"is {_figure(groups, 'mean')}."
        )
    if found["curvature"]:
        known, base = found["curvature"], found["curvature"]["base"]
        beside = "" if base is None else f"; that of the base checkpoint {_figure(base, 'spearman', 2)}"
        said.append(
            f"The curvature of the loss follows memorization over the members with a rank correlation of "
            f"{_figure(known, 'spearman', 2)}{beside}."
        )
    return said


def _figure(entry: dict[str, Any], name: str, digits: int = 3) -> str:
    return f"{entry[name]:.{digits}f} [{entry['low']:.{digits}f}, {entry['high']:.{digits}f}]"


def lines(report: Report) -> str | None:
    return "\n".join(wrapped(" ".join(sentences(report)))) if report.memorization else None


def shown(report: Report) -> dict[str, Any]:
    return {"memorized": " ".join(sentences(report))}
