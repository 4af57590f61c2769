"""The published schema of ``privacy_report.json`` and the checks a schema cannot say."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from hf_privacy.errors import InputError
from hf_privacy.hub.evidence import disagreements
from hf_privacy.hub.leaks import leaves

REPORT_NAME = "privacy_report.json"
SCHEMA_VERSION = "0.2"
_INTERVALS = (
    ("value", "low", "high"),
    ("auc", "auc_low", "auc_high"),
    ("tpr", "low", "high"),
    ("tpr", "conditional_low", "conditional_high"),
    ("tpr", "tpr_low", "tpr_high"),
    ("share", "low", "high"),
    ("rate", "low", "high"),
)
_FREE = ("defense", "training", "outside")
_ROUNDING = 1e-9


@cache
def _validator() -> Draft202012Validator:
    schema = json.loads(files("hf_privacy.hub").joinpath("privacy_report.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _refuse(path: str, reason: str) -> NoReturn:
    raise InputError(f"the privacy report is not valid at {path}: {reason}; run `hf-privacy audit` to write a new one")


def _check_intervals(value: Any, path: str) -> None:
    """Every estimate lies in its interval, wherever in the report it stands."""
    for name, low, high in _INTERVALS if isinstance(value, dict) else ():
        if {name, low, high} <= value.keys():
            ends = [value[key] for key in (low, name, high)]
            if None in ends and ends != [None] * 3:
                _refuse(path, f"{name}, {low} and {high} are given together or not at all")
            if None not in ends and not ends[0] - _ROUNDING <= ends[1] <= ends[2] + _ROUNDING:
                _refuse(path, f"{name} is {ends[1]} but its interval is [{ends[0]}, {ends[2]}]")
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, inner in inside:
        _check_intervals(inner, f"{path}.{key}" if isinstance(key, str) else f"{path}[{key}]")


def validate_report(report: dict[str, Any]) -> None:
    """Check a report against the schema and against itself.

    A report of another version of the schema is refused as such. Beyond the schema: every number is finite, attack
    names are unique, every estimate lies in its interval, each curve and each memorization bin belongs to an attack,
    arrays fit together, no adversarial accuracy is given twice, the evidence names the attack that is strongest by the
    figures, and an audit with references says how many.

    Parameters
    ----------
    report
        The content of ``privacy_report.json``, as plain Python values.

    Raises
    ------
    InputError
        With the JSON path of the worst violation and the reason.

    Examples
    --------
    >>> validate_report({"schema_version": "0.1"})
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: the privacy report is of version '0.1', made by another version of hf_privacy, ...
    """
    # First of all: of a report of another version, whatever else is wrong with it is no news.
    version = report.get("schema_version") if isinstance(report, dict) else None
    if isinstance(version, str) and version != SCHEMA_VERSION:
        raise InputError(
            f"the privacy report is of version {version[:20]!r}, made by another version of hf_privacy, and this one "
            f"reads {SCHEMA_VERSION!r}, whose figures differ: audit again with `hf-privacy audit`"
        )
    # A NaN passes every bound of the schema, because each comparison with it is false.
    for path, number in leaves(report, "$"):
        if isinstance(number, float) and not math.isfinite(number):
            _refuse(path, f"{number} is not a finite number")
    error = best_match(_validator().iter_errors(report))
    if error is not None:
        message = error.message if len(error.message) <= 300 else f"{error.message[:297]}..."
        _refuse(error.json_path, message)

    for name, section in report.items():
        if name not in _FREE:
            _check_intervals(section, f"$.{name}")
    names = _check_names(report["attacks"], "$.attacks")
    for name, curve in report["curves"].items():
        path = f"$.curves.{name}"
        if name not in names:
            _refuse(path, f"no attack is named {name!r}")
        if len(curve["fpr"]) != len(curve["tpr"]):
            _refuse(path, f"fpr has {len(curve['fpr'])} points and tpr has {len(curve['tpr'])}")
        bins = len(curve["score_edges"]) - 1
        for counts in ("member_counts", "nonmember_counts"):
            if len(curve[counts]) != max(bins, 0):
                _refuse(path, f"{counts} has {len(curve[counts])} bins and score_edges bound {max(bins, 0)}")
    groups = report.get("memorization_bins") or []
    _check_bins(groups, "$.memorization_bins", "attack")
    share = report.get("leakage_share")
    named = [(f"$.memorization_bins[{index}].attack", entry) for index, entry in enumerate(groups)]
    for path, entry in [*named, *([("$.leakage_share.attack", share)] if share else [])]:
        if entry["attack"] not in names:
            _refuse(path, f"no attack is named {entry['attack']!r}")
    if report["robustness"] is not None:
        _check_robustness(report["robustness"])
    for path, reason in disagreements(report):
        _refuse(path, reason)
    if report["unlearning"] is not None:
        _check_unlearning(report["unlearning"])
    canaries = report.get("canaries")
    if canaries is not None and canaries["n_inserted"] >= canaries["n_canaries"]:
        _refuse("$.canaries.n_inserted", f"it is {canaries['n_inserted']} of {canaries['n_canaries']} canaries")
    if report["depth"] == "full" and report["references"] is None:
        _refuse("$.references", "the depth is 'full' and no reference models are named")


def _check_names(attacks: list[dict[str, Any]], where: str) -> list[str]:
    names = [attack["name"] for attack in attacks]
    for index, name in enumerate(names):
        if names.index(name) != index:
            _refuse(f"{where}[{index}].name", f"the attack {name!r} is listed twice")
    return names


def _check_bins(bins: list[dict[str, Any]], where: str, *keys: str) -> None:
    seen = set()
    for index, entry in enumerate(bins):
        path = f"{where}[{index}]"
        if entry["memorization_from"] >= entry["memorization_to"]:
            _refuse(path, f"it goes from {entry['memorization_from']} to {entry['memorization_to']}")
        identity = (entry["memorization_from"], entry["memorization_to"], *(entry[key] for key in keys))
        if identity in seen:
            _refuse(path, "it is listed twice")
        seen.add(identity)


def _check_robustness(robustness: dict[str, Any]) -> None:
    seen = set()
    for index, entry in enumerate(robustness["accuracies"]):
        if (entry["name"], entry["set"]) in seen:
            _refuse(f"$.robustness.accuracies[{index}]", f"{entry['name']} of {entry['set']} is listed twice")
        seen.add((entry["name"], entry["set"]))
    bins = robustness["memorization_bins"] or []
    _check_bins(bins, "$.robustness.memorization_bins", "name", "set")
    for index, entry in enumerate(bins):
        if entry["name"] not in {name for name, _ in seen}:
            _refuse(f"$.robustness.memorization_bins[{index}].name", f"accuracies holds no {entry['name']!r}")
    _check_names(robustness["membership_attacks"] or [], "$.robustness.membership_attacks")


def _check_unlearning(unlearning: dict[str, Any]) -> None:
    names = ["UA", "RA", "TA", "MIA"]
    for stage, figures in unlearning["figures"].items():
        found = [figure["name"] for figure in figures or []]
        if figures is not None and found != names:
            _refuse(f"$.unlearning.figures.{stage}", f"it holds {found} and not {names}")
    judged = unlearning["n_retrained"] > 0
    if judged != (unlearning["gap"] is not None) or judged != (unlearning["figures"]["retrained"] is not None):
        _refuse("$.unlearning.gap", f"{unlearning['n_retrained']} retrained models and their figures do not agree")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def load_report_dict(folder: str | Path) -> dict[str, Any]:
    """Read and validate ``privacy_report.json`` of a model folder.

    Parameters
    ----------
    folder
        The saved model's folder.

    Returns
    -------
    dict
        The valid report.

    Raises
    ------
    InputError
        When the file is absent, is no JSON object, or does not satisfy :func:`validate_report`.

    Examples
    --------
    >>> load_report_dict("no/such/folder")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: there is no privacy_report.json in no/such/folder: run `hf-privacy audit` first
    """
    file = Path(folder) / REPORT_NAME
    if not file.is_file():
        raise InputError(f"there is no {REPORT_NAME} in {folder}: run `hf-privacy audit` first")
    try:
        report = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except ValueError as error:
        raise InputError(f"{file} is not JSON ({error}): run `hf-privacy audit` to write a new one") from error
    validate_report(report)
    return report
