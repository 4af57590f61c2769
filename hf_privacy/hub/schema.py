"""The published schema of ``privacy_report.json`` and the checks a schema cannot say."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from hf_privacy.errors import InputError
from hf_privacy.hub.evidence import disagreements

REPORT_NAME = "privacy_report.json"
SCHEMA_VERSION = "0.2"
_ROUNDING = 1e-9


@cache
def _validator() -> Draft202012Validator:
    schema = json.loads(files("hf_privacy.hub").joinpath("privacy_report.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def _refuse(path: str, reason: str) -> NoReturn:
    raise InputError(f"the privacy report is not valid at {path}: {reason}; run `hf-privacy audit` to write a new one")


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{path}[{index}]")
    elif isinstance(value, float):
        yield path, value


def _check_interval(path: str, name: str, low: float, value: float, high: float) -> None:
    if not low - _ROUNDING <= value <= high + _ROUNDING:
        _refuse(path, f"{name} is {value} but its interval is [{low}, {high}]")


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
    for path, number in _numbers(report, "$"):
        if not math.isfinite(number):
            _refuse(path, f"{number} is not a finite number")
    error = best_match(_validator().iter_errors(report))
    if error is not None:
        message = error.message if len(error.message) <= 300 else f"{error.message[:297]}..."
        _refuse(error.json_path, message)

    names = _check_attacks(report["attacks"], "$.attacks")
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
    _check_bins(report.get("memorization_bins") or [], "$.memorization_bins", "attack")
    for index, entry in enumerate(report.get("memorization_bins") or []):
        if entry["attack"] not in names:
            _refuse(f"$.memorization_bins[{index}].attack", f"no attack is named {entry['attack']!r}")
    share = report.get("leakage_share")
    if share is not None and share["attack"] not in names:
        _refuse("$.leakage_share.attack", f"no attack is named {share['attack']!r}")
    for index, entry in enumerate(share["shares"] if share is not None else []):
        path = f"$.leakage_share.shares[{index}]"
        if len({entry[name] is None for name in ("share", "low", "high")}) > 1:
            _refuse(path, "share, low and high are given together or not at all")
        if entry["share"] is not None:
            _check_interval(path, "share", entry["low"], entry["share"], entry["high"])
    if report["robustness"] is not None:
        _check_robustness(report["robustness"])
    for path, reason in disagreements(report):
        _refuse(path, reason)
    if report["unlearning"] is not None:
        _check_unlearning(report["unlearning"])
    canaries = report.get("canaries")
    if canaries is not None:
        _check_interval("$.canaries", "auc", canaries["auc_low"], canaries["auc"], canaries["auc_high"])
        if canaries["n_inserted"] >= canaries["n_canaries"]:
            _refuse("$.canaries.n_inserted", f"it is {canaries['n_inserted']} of {canaries['n_canaries']} canaries")
    for name in ("member_accuracy", "nonmember_accuracy"):
        accuracy = report["utility"][name]
        _check_interval(f"$.utility.{name}", "value", accuracy["low"], accuracy["value"], accuracy["high"])
    if report["depth"] == "full" and report["references"] is None:
        _refuse("$.references", "the depth is 'full' and no reference models are named")


def _check_attacks(attacks: list[dict[str, Any]], where: str) -> list[str]:
    """Check a list of attacks; their names."""
    names = [attack["name"] for attack in attacks]
    for index, attack in enumerate(attacks):
        path = f"{where}[{index}]"
        if names.index(attack["name"]) != index:
            _refuse(f"{path}.name", f"the attack {attack['name']!r} is listed twice")
        _check_interval(path, "auc", attack["auc_low"], attack["auc"], attack["auc_high"])
        for entry_index, entry in enumerate(attack["tpr_at_fpr"]):
            if entry["tpr"] is not None:
                for kind in ("", "conditional_"):
                    ends = entry[f"{kind}low"], entry["tpr"], entry[f"{kind}high"]
                    _check_interval(f"{path}.tpr_at_fpr[{entry_index}]", "tpr", *ends)
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
        path = f"$.robustness.accuracies[{index}]"
        _check_interval(path, "value", entry["low"], entry["value"], entry["high"])
        if (entry["name"], entry["set"]) in seen:
            _refuse(path, f"{entry['name']} of {entry['set']} is listed twice")
        seen.add((entry["name"], entry["set"]))
    names = {name for name, _ in seen}
    bins = robustness["memorization_bins"] or []
    _check_bins(bins, "$.robustness.memorization_bins", "name", "set")
    for index, entry in enumerate(bins):
        path = f"$.robustness.memorization_bins[{index}]"
        _check_interval(path, "value", entry["low"], entry["value"], entry["high"])
        if entry["name"] not in names:
            _refuse(f"{path}.name", f"accuracies holds no {entry['name']!r}")
    _check_attacks(robustness["membership_attacks"] or [], "$.robustness.membership_attacks")


def _check_unlearning(unlearning: dict[str, Any]) -> None:
    names = ["UA", "RA", "TA", "MIA"]
    for stage, figures in unlearning["figures"].items():
        path = f"$.unlearning.figures.{stage}"
        if figures is None:
            continue
        if [figure["name"] for figure in figures] != names:
            _refuse(path, f"it holds {[figure['name'] for figure in figures]} and not {names}")
        for index, figure in enumerate(figures):
            _check_interval(f"{path}[{index}]", "value", figure["low"], figure["value"], figure["high"])
    for name in ("newly_wrong", "newly_right"):
        share = unlearning["retain_harm"][name]
        _check_interval(f"$.unlearning.retain_harm.{name}", "value", share["low"], share["value"], share["high"])
    judged = unlearning["n_retrained"] > 0
    if judged != (unlearning["gap"] is not None) or judged != (unlearning["figures"]["retrained"] is not None):
        _refuse("$.unlearning.gap", f"{unlearning['n_retrained']} retrained models and their figures do not agree")
    if unlearning["u_lira"] is not None:
        found = unlearning["u_lira"]
        _check_interval("$.unlearning.u_lira", "auc", found["auc_low"], found["auc"], found["auc_high"])


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
