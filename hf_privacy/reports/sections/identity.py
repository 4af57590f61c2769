"""What was audited: model, data, split and training; with cost, versions and caveats."""

from __future__ import annotations

from typing import Any

from hf_privacy.hub.schema import SCHEMA_VERSION
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections import blind_baseline, tokens
from hf_privacy.reports.shapes import listed, record, shape
from hf_privacy.reports.words import duration, unit_words, value_text

FIELDS = {
    "schema_version": {"const": SCHEMA_VERSION},
    "created": {
        "description": "UTC, to the second.",
        "type": "string",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
    },
    "model": record(
        "name optional_text, architecture text, base_model optional_text, base_revision optional_text, "
        "n_parameters optional_size, n_trainable_parameters optional_count, adapter optional_text, task text",
        optional="task",  # absent from earlier reports
        weights_sha256={
            "description": "Null where the model was not opened, and a table of its scores was audited.",
            "type": ["string", "null"],
            "pattern": "^[0-9a-f]{64}$",
        },
    ),
    "dataset": record(
        "name text, revision optional_text, fingerprint text, n_examples positive_count, n_classes positive_count",
        optional="n_classes tokens",  # of a classifier, and of a language model
        tokens=tokens.TOKENS,
    ),
    "split": record(
        "hash text, n_members positive_count, n_nonmembers positive_count, n_population count, stratified boolean, "
        "exact_repeats optional_count, near_repeats optional_count",
        optional="unit n_groups",  # absent where the unit of membership is a row, and from earlier reports
        unit={"description": "The column whose values were drawn as a whole.", **shape("text")},
        n_groups=record("members positive_count, non_members positive_count, population count"),
    ),
    "training": shape("free"),
    "cost": record(
        "training_seconds optional_amount, references_seconds optional_amount, signals_seconds optional_amount, "
        "attacks_seconds optional_amount"
    ),
    "versions": {"type": "object", "maxProperties": 100, "additionalProperties": {"type": "string", "maxLength": 100}},
    "caveats": listed({"type": "string", "maxLength": 2000}, most=100),
}


def model_facts(report: Report) -> list[tuple[str, str]]:
    model = report.model
    return [
        ("Name", value_text(model["name"])),
        *([("Task", model["task"])] if "task" in model else []),
        ("Architecture", model["architecture"]),
        ("Base model", _with_revision(model["base_model"], model["base_revision"])),
        ("Adapter", value_text(model["adapter"])),
        ("Parameters", _parameters(model)),
        ("SHA-256 of the weights", model["weights_sha256"] or "not known: the model was not opened"),
    ]


def data_facts(report: Report) -> list[tuple[str, str]]:
    dataset, split = report.dataset, report.split
    kinds = ("exact", split["exact_repeats"]), ("near", split["near_repeats"])
    repeats = (f"{kind} repeats not counted" if n is None else f"{n:,} {kind}" for kind, n in kinds)
    return [
        ("Dataset", _with_revision(dataset["name"], dataset["revision"])),
        ("Fingerprint", dataset["fingerprint"]),
        ("Examples, classes", f"{dataset['n_examples']:,}, {dataset['n_classes']:,}")
        if "n_classes" in dataset
        else ("Examples", f"{dataset['n_examples']:,}"),
        *([("Unit of membership", unit_words(split))] if split.get("unit") else []),
        ("Members, non-members", f"{split['n_members']:,}, {split['n_nonmembers']:,}"),
        ("Population", f"{split['n_population']:,}"),
        *tokens.token_facts(report),
        ("Stratified", value_text(split["stratified"])),
        ("Repeats across the split", ", ".join(repeats)),
        ("Told apart without the model", blind_baseline.words(report)),
        ("Hash of the split", split["hash"]),
    ]


def cost_facts(report: Report) -> list[tuple[str, str]]:
    return [(name.removesuffix("_seconds").capitalize(), duration(cost)) for name, cost in report.cost.items()]


def _parameters(model: dict[str, Any]) -> str:
    if model["n_parameters"] is None:
        return "not known"
    return f"{model['n_parameters']:,} ({model['n_trainable_parameters']:,} trained)"


def _with_revision(name: str | None, revision: str | None) -> str:
    return f"{name} @ {revision[:12]}" if name and revision else value_text(name)
