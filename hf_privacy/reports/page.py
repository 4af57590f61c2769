"""The report as one self-contained HTML page."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hf_privacy.hub.headline import evidence_sentence
from hf_privacy.reports.explain import leakage_sentence, percent, rate, what_it_does_not_mean, what_it_means
from hf_privacy.reports.sections.memorization import SETS, fewer_examples, memorization_range, memorization_table
from hf_privacy.reports.sections.outside import outside_rows, value_text
from hf_privacy.reports.sections.unlearning import (
    unlearning_headers,
    unlearning_request_words,
    unlearning_sentences,
    unlearning_table_rows,
)
from hf_privacy.reports.titles import attack_words, epsilon_text, norm_title

if TYPE_CHECKING:
    from hf_privacy.reports.report import PrivacyReport

TEMPLATES = Path(__file__).parent / "templates"


def render_page(
    report: PrivacyReport,
    *,
    roc_png: bytes,
    scores_png: bytes,
    budgets_png: bytes | None = None,
    memorization_png: bytes | None = None,
) -> str:
    """Render the report as one HTML page that needs nothing else: images and style inside, no script, no link out.

    Parameters
    ----------
    report : PrivacyReport
    roc_png, scores_png, budgets_png, memorization_png : bytes
        The plots; the last two only of a report with budgets and with memorization bins.

    Returns
    -------
    str
    """
    by_memorization = memorization_table(report) if report.robustness is not None else None
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            report=report,
            headline=report.headline(),
            fprs=sorted({entry["fpr"] for attack in report.attacks for entry in attack["tpr_at_fpr"]}),
            evidence=evidence_sentence(vars(report)),
            meaning=what_it_means(report),
            no_meaning=what_it_does_not_mean(report),
            roc_png=base64.b64encode(roc_png).decode(),
            scores_png=base64.b64encode(scores_png).decode(),
            budgets_png=None if budgets_png is None else base64.b64encode(budgets_png).decode(),
            memorization_png=None if memorization_png is None else base64.b64encode(memorization_png).decode(),
            attack_titles={attack["name"]: attack["title"] for attack in report.attacks},
            memorization_range=memorization_range,
            by_memorization=by_memorization,
            fewer=fewer_examples(by_memorization) if by_memorization else None,
            memorization_of=leakage_by_attack(report),
            sets=SETS,
            leakage=leakage_sentence(report) if report.leakage_share is not None else None,
            accuracy_titles=accuracy_titles(report),
            adversary=attack_words(report.robustness) if report.robustness is not None else None,
            class_of=lambda row: row["class"],
            unlearning=unlearning_parts(report),
            outside=outside_tables(report),
            utility=utility_rows(report),
            over_runs=over_runs_rows(report),
            facts=_facts(report),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(percent=percent)
    environment.globals.update(rate=rate)
    return environment


def over_runs_rows(report: PrivacyReport) -> list[tuple[str, dict[str, float], dict[float, dict[str, float]]]]:
    """Give title, AUC and, by FPR, TPR over several training runs of each attack; none where one run was attacked."""
    if report.targets is None:
        return []
    return [
        (attack["title"], attack["auc"], {entry["fpr"]: entry for entry in attack["tpr_at_fpr"]})
        for attack in report.targets["attacks"]
    ]


def accuracy_titles(report: PrivacyReport) -> dict[str, str]:
    """Give the title of each accuracy of the report's robustness, by its name."""
    return {} if report.robustness is None else {e["name"]: e["title"] for e in report.robustness["accuracies"]}


def leakage_by_attack(report: PrivacyReport) -> dict[str, list[dict[str, Any]]]:
    """Give the memorization bins of each attack, by its name."""
    attacks = dict.fromkeys(entry["attack"] for entry in report.memorization_bins or [])
    return {name: [entry for entry in report.memorization_bins or [] if entry["attack"] == name] for name in attacks}


def unlearning_parts(report: PrivacyReport) -> dict[str, Any] | None:
    """Give what page and card show of the report's unlearning: words, headers, rows and sentences."""
    section = report.unlearning
    if section is None:
        return None
    return {
        "words": unlearning_request_words(section),
        "headers": unlearning_headers(section),
        "rows": unlearning_table_rows(section),
        "sentences": unlearning_sentences(section),
    }


def outside_tables(report: PrivacyReport) -> dict[str, list[tuple[str, str]]]:
    """Give the rows of each outside examination's section, by its name."""
    return {name: outside_rows(values) for name, values in (report.outside or {}).items()}


def utility_rows(report: PrivacyReport) -> list[tuple[str, dict[str, float], float]]:
    """Give name, accuracy with its interval, and mean loss of the held-out and the training examples."""
    utility = report.utility
    return [
        ("Held out (non-members)", utility["nonmember_accuracy"], utility["nonmember_loss"]),
        ("Training (members)", utility["member_accuracy"], utility["member_loss"]),
    ]


def _facts(report: PrivacyReport) -> list[tuple[str, list[tuple[str, str]]]]:
    """Give titled groups of (name, value) rows: everything in the report that is neither a figure nor a sentence."""
    model, dataset, split = report.model, report.dataset, report.split
    groups = [
        ("Model", [
            ("Name", value_text(model["name"])),
            ("Architecture", model["architecture"]),
            ("Base model", _with_revision(model["base_model"], model["base_revision"])),
            ("Adapter", value_text(model["adapter"])),
            ("Parameters", f"{model['n_parameters']:,} ({model['n_trainable_parameters']:,} trained)"),
            ("SHA-256 of the weights", model["weights_sha256"]),
        ]),
        ("Data and split", [
            ("Dataset", _with_revision(dataset["name"], dataset["revision"])),
            ("Fingerprint", dataset["fingerprint"]),
            ("Examples, classes", f"{dataset['n_examples']:,}, {dataset['n_classes']:,}"),
            ("Members, non-members", f"{split['n_members']:,}, {split['n_nonmembers']:,}"),
            ("Population", f"{split['n_population']:,}"),
            ("Stratified", value_text(split["stratified"])),
            ("Repeats across the split", _repeats(split)),
            ("Told apart without the model", _blind(report.blind_baseline)),
            ("Hash of the split", split["hash"]),
        ]),
        ("Audit", [
            ("Depth", report.depth),
            *_references(report.references),
            ("Made", report.created),
        ]),
        ("Defence", [
            ("Name", report.defense["name"]), *outside_rows(report.defense["parameters"]), *_paper(report.defense),
        ]),
        ("Privacy bounds (ε)", [
            ("Guaranteed, at most", _epsilon(report.epsilon["upper"])),
            ("Measured, at least", _epsilon(report.epsilon["lower"])),
        ]),
        ("Canaries", _canaries(report.canaries)),
        ("Training", outside_rows(report.training)),
        ("Adversarial attack", _robustness(report.robustness)),
        ("Unlearning", _unlearning(report.unlearning)),
        ("Cost", [(name.removesuffix("_seconds").capitalize(), _seconds(s)) for name, s in report.cost.items()]),
        ("Versions", outside_rows(report.versions)),
    ]  # fmt: skip
    return [(title, rows) for title, rows in groups if rows]


def _with_revision(name: str | None, revision: str | None) -> str:
    return f"{name} @ {revision[:12]}" if name and revision else value_text(name)


def _repeats(split: dict[str, Any]) -> str:
    kinds = ("exact", split["exact_repeats"]), ("near", split["near_repeats"])
    return ", ".join(f"{kind} repeats not counted" if n is None else f"{n:,} {kind}" for kind, n in kinds)


def _blind(blind: dict[str, Any] | None) -> str:
    if blind is None:
        return "not tried"
    return f"AUC {blind['auc']:.3f} [{blind['auc_low']:.3f}, {blind['auc_high']:.3f}]"


def _references(references: dict[str, Any] | None) -> list[tuple[str, str]]:
    if references is None:
        return [("Reference models", "none")]
    return [
        ("Reference models", f"{references['n_models']}, each on {percent(references['fraction'])} of the data"),
        ("Hash of their recipe", references["recipe_hash"]),
    ]


def _paper(defense: dict[str, Any]) -> list[tuple[str, str]]:
    paper = defense["paper"]
    return [("Paper", f"{paper['title']} ({paper['id']})")] if paper else []


def _epsilon(bound: dict[str, Any] | None) -> str:
    if bound is None:
        return "none"
    source = bound.get("method") or f"{bound['accountant']}, {bound['sampler']} sampling"
    confidence = f", {percent(bound['confidence'])} confidence" if "confidence" in bound else ""
    return f"ε = {bound['epsilon']:.3g} at δ = {bound['delta']:.3g} ({source}{confidence})"


def _robustness(robustness: dict[str, Any] | None) -> list[tuple[str, str]]:
    if robustness is None:
        return []
    return [
        ("Norm, space", f"{norm_title(robustness['norm'])}, {robustness['space']}"),
        ("ε, step size", f"{epsilon_text(robustness)}, {value_text(robustness['step_size'])}"),
        ("PGD steps", value_text(robustness["n_steps"])),
        ("Time", _seconds(robustness["seconds"])),
    ]


def _unlearning(unlearning: dict[str, Any] | None) -> list[tuple[str, str]]:
    if unlearning is None:
        return []
    method, loss = unlearning["method"], unlearning["forget_loss"]
    rows = [("Method", method["name"]), *outside_rows(method["parameters"]), *_paper(method)]
    rows += [
        (name.removeprefix("n_").capitalize(), value_text(value)) for name, value in unlearning["request"].items()
    ]
    rows += [
        (f"After the edit alone: {name}", value_text(value))
        for name, value in (unlearning["after_edit"] or {}).items()
    ]
    for name in ("quantiles", "before", "after", "retrained", "test_after") if loss is not None else ():
        rows.append((f"Loss on the forget set: {name}", value_text(loss[name])))
    return rows


def _canaries(canaries: dict[str, Any] | None) -> list[tuple[str, str]]:
    if canaries is None:
        return []
    return [
        ("Canaries, inserted", f"{canaries['n_canaries']:,} {canaries['kind']}, {canaries['n_inserted']:,}"),
        ("Guesses", f"{value_text(canaries['n_guesses'])}, by {canaries['score']}"),
        ("AUC", f"{canaries['auc']:.3f} [{canaries['auc_low']:.3f}, {canaries['auc_high']:.3f}]"),
        ("ε at least, for any training", f"{canaries['one_run']:.3g} at δ = {canaries['delta']:.3g}"),
        ("ε at least, were it Gaussian (f-DP)", f"{canaries['one_run_fdp']:.3g} at δ = {canaries['delta']:.3g}"),
        ("Training and scoring", _seconds(canaries["seconds"])),
    ]


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
