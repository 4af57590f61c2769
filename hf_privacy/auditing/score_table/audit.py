"""Audit a model that cannot be opened, from a table of what it says of records; needs no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hf_privacy.auditing.attack import attack_all
from hf_privacy.auditing.groups import class_slices
from hf_privacy.auditing.made_with import caveats_of, versions
from hf_privacy.auditing.score_table.members import split_of
from hf_privacy.auditing.score_table.read import check_ids, read_sides, read_table
from hf_privacy.auditing.score_table.signal_table import Scored, scored_rows
from hf_privacy.auditing.table import SIDES, SignalTable
from hf_privacy.auditing.vulnerability import save_vulnerability
from hf_privacy.data import MembershipSplit
from hf_privacy.errors import InputError
from hf_privacy.hub import REPORT_NAME, budget_record, load_report_dict
from hf_privacy.outside import is_outside
from hf_privacy.recipe import AuditSettings, Recipe
from hf_privacy.reports import PrivacyReport, curve_of, public_name
from hf_privacy.tasks import TASKS

ARCHITECTURE = "Model known by its scores alone"
_ID = "id"
# Of a recipe, what a table of scores has a use for; of its audit, what needs no model to ask.
_KEYS = ("name", "output_dir", "task")
_DATA_KEYS = ("label_column", "member_column", "split_file", "group_column", "dataset_id")
_AUDIT_KEYS = ("depth", "fprs", "confidence", "lira_variance", "gamma", "class_slices", "extra_attacks")


def audit_scores(
    scores: str | Path | None = None,
    *,
    members: str | Path | None = None,
    nonmembers: str | Path | None = None,
    columns: Sequence[str] = (),
    kind: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    replace_report: bool = False,
) -> tuple[PrivacyReport, Recipe]:
    """Audit a model by a table of its scores: the attacks that these allow, and the report of any other audit.

    One row is a record. The scores are columns ``probability_<class>``, ``log_probability_<class>`` or
    ``logit_<class>``, a column of lists called ``probabilities``, ``log_probabilities`` or ``logits``, or of the true
    class alone ``probability``, ``log_probability`` or ``loss`` (nats). Columns ``reference_<k>_probability`` (or
    ``_log_probability``, ``_loss``: of the true class) and ``reference_<k>_member`` bring reference models.

    Parameters
    ----------
    scores : path, optional
        A Parquet, CSV, TSV, JSON or JSON lines file with members and non-members.
    members, nonmembers : path, optional
        Two of them in its place, of one form.
    columns : sequence of str, optional
        The columns of scores, where they have other names: one for each class, or a single one.
    kind : {"probability", "log_probability", "logit", "loss"}, optional
        What they hold, where their names do not say it.
    overrides : mapping, optional
        Dotted keys of a recipe: ``name``, ``output_dir``, ``push.*``, the columns in ``data`` (``label_column``,
        ``member_column``, which is "member" by default, ``group_column``) or ``data.split_file``, and of ``audit``
        what needs no model. With a split file a row's number is its ``id``, where the table has that column.
    replace_report : bool
        Let the report take the place of that of a saved model in ``output_dir``.

    Returns
    -------
    report : PrivacyReport
        With ``model["weights_sha256"]`` None: what it is of cannot be held against weights, and no push takes it.
    recipe : Recipe
        What the arguments come to.

    Raises
    ------
    InputError
        For a table that cannot be read or holds no scores, scores that are none (probabilities that do not add up to
        1, NaN, log-probabilities above 0, …), labels outside the classes, repeated ids, fewer than 10 members or
        non-members, and settings that only a model could answer.
    """
    started = time.perf_counter()
    overrides = dict(overrides or {})
    source, table, is_member = _table(scores, members, nonmembers)
    recipe = _recipe(source, overrides)
    if not replace_report:
        _refuse_over_model(Path(recipe.output_dir))
    check_ids(table, _ID)
    scored = scored_rows(
        table, columns=columns, kind=kind, label=recipe.data.label_column, asked="data.label_column" in overrides
    )
    split = split_of(table, is_member, recipe.data, fingerprint=scored.fingerprint(), id_column=_ID)
    settings = _settings(recipe.audit, scored, split, overrides)
    signals = scored.signal_table(split)
    found = attack_all(signals, settings)
    slices = None
    if settings.class_slices and signals.labels is not None:
        slices = class_slices(signals, found.strongest, scored.classes, confidence=settings.confidence)
    save_vulnerability(Path(recipe.output_dir) / "private", split, found)
    model = {"name": public_name(recipe.name or Path(source).stem), "architecture": ARCHITECTURE}
    if "task" in overrides:
        model["task"] = recipe.task
    unknown = ("base_model", "base_revision", "n_parameters", "n_trainable_parameters", "adapter", "weights_sha256")
    groups = {} if split.groups is None else {"unit": public_name(split.unit), "n_groups": split.n_groups}
    report = PrivacyReport(
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        model={**model, **dict.fromkeys(unknown)},
        dataset={
            "name": public_name(recipe.data.dataset_id or Path(source).name),
            "revision": None,
            "fingerprint": split.dataset_fingerprint,
            "n_examples": split.n_examples,
            **({"n_classes": len(scored.classes)} if scored.classes else {}),
        },
        split={
            "hash": split.hash,
            "n_members": len(split.members),
            "n_nonmembers": len(split.non_members),
            "n_population": len(split.population),
            "stratified": False,
            "exact_repeats": None,
            "near_repeats": None,
            **groups,
        },
        defense={"name": "unknown", "parameters": {}, "paper": None},
        training={},
        epsilon={"upper": None, "lower": None},
        depth=settings.depth,
        references=None
        if not scored.references
        else {
            "n_models": len(scored.references),
            "fraction": float(signals.reference_pool_membership.mean()),
            "recipe_hash": None,
        },
        attacks=found.attacks,
        evidence=found.evidence,
        curves={attack.name: curve_of(attack.scores, signals.membership) for attack in found.scores},
        class_slices=slices,
        utility=_utility(signals, settings.confidence),
        cost={
            "training_seconds": None,
            "references_seconds": None,
            "signals_seconds": None,
            "attacks_seconds": time.perf_counter() - started,
        },
        versions=versions(("numpy", "scipy", "pyarrow")),
        budget=budget_record(recipe.push.gate_settings()),
        caveats=[*_caveats(scored, split), *caveats_of(settings, split)],
    )
    report.save(recipe.output_dir, replace_report=True)  # decided before the work
    return report, recipe


def _table(
    scores: str | Path | None, members: str | Path | None, nonmembers: str | Path | None
) -> tuple[str, pa.Table, np.ndarray | None]:
    """What the report calls the table, the table, and who is a member where two of them say it."""
    if (members is None) != (nonmembers is None):
        given, missing = ("members", "nonmembers") if nonmembers is None else ("nonmembers", "members")
        raise InputError(f"{given} is given without {missing}: pass both, one table of each")
    if members is None or nonmembers is None:
        if scores is None:
            raise InputError("no table of scores: pass --scores FILE, or --scores with --members and --nonmembers")
        return str(scores), read_table(scores, argument="scores"), None
    if scores is not None:
        raise InputError("scores, members and nonmembers are given: pass one table, or two in its place")
    table, is_member = read_sides(members, nonmembers)
    return str(members), table, is_member


def _recipe(source: str, overrides: Mapping[str, Any]) -> Recipe:
    known = [*_KEYS, *(f"data.{key}" for key in _DATA_KEYS), *(f"audit.{key}" for key in _AUDIT_KEYS)]
    for key in overrides:
        if key not in known and not key.startswith("push."):
            Recipe.from_dict({}).override({key: overrides[key]})  # says of an unknown key that it is one
            raise InputError(
                f"{key} is set, and only a model that can be opened could be asked for it: leave it out, or audit the "
                "saved model with --model"
            )
    stem = Path(source).stem
    recipe = Recipe.from_dict({"output_dir": f"runs/{stem}", "audit": {"depth": "quick"}}).override(overrides)
    ours = [name for name in recipe.audit.extra_attacks if not is_outside(name)]
    if ours:
        raise InputError(
            f"audit.extra_attacks holds {ours[0]!r}, which asks the model more: a table of scores cannot answer"
        )
    return recipe


def _settings(
    settings: AuditSettings, scored: Scored, split: MembershipSplit, overrides: Mapping[str, Any]
) -> AuditSettings:
    """Full depth where the table brings reference models."""
    if not scored.references:
        if settings.depth == "full":
            raise InputError(
                "audit.depth is 'full' and the table holds no reference models: add the columns "
                "reference_<k>_probability and reference_<k>_member of 2 or more, or leave audit.depth out"
            )
        return settings.as_made()[0]
    if settings.depth == "quick" and "audit.depth" in overrides:
        raise InputError(
            "audit.depth is 'quick' and the table holds reference models: leave out their columns, or audit.depth"
        )
    made = replace(settings, depth="full", references=len(scored.references))
    made.check()
    return replace(made, fraction=float(np.mean([held[split.pool].mean() for _, held in scored.references])))


def _utility(table: SignalTable, confidence: float) -> dict[str, Any]:
    """Accuracy and mean loss of either side; without the other classes' scores the loss alone."""
    task = next(task for task in TASKS.values() if task.has_classes)
    utility: dict[str, Any] = {}
    for name, is_member in SIDES.items():
        side = table.of_side(is_member)
        if "correct" not in side:
            utility[f"{name}_loss"] = float(side["loss"].mean())
            continue
        groups = None if table.groups is None else table.groups[table.membership == is_member]
        found = task.utility_estimates(side, groups=groups, confidence=confidence)
        utility |= {f"{name}_{what}": value for what, value in found.items()}
    return utility


def _caveats(scored: Scored, split: MembershipSplit) -> list[str]:
    caveats = [
        "The model was not opened: a table of its scores was all there was. Weights, size, training and defence are "
        "not known, and that the scores are this model's, and the members its training records, is the word of "
        "whoever made the table.",
        "Not measured, since it takes a model to ask or the records themselves: attacks by further queries, "
        "robustness, extraction, memorization, canaries, and whether members can be told from the others without the "
        "model.",
    ]
    if not scored.has_every_class:
        caveats.append(
            "The table scores the true class alone: entropy, modified entropy and accuracy cannot be told from it."
        )
    n_ended = int(scored.ended[np.concatenate([split.pool, split.population])].sum())
    if n_ended:
        caveats.append(
            f"{n_ended:,} of {len(split.pool) + len(split.population):,} records have a probability of exactly 0 or "
            "1, which was rounded: what told them apart is lost, and the attacks may find less than there is."
        )
    if scored.references:
        caveats.append(
            f"The {len(scored.references)} reference models are those of the table: how they were trained is the word "
            "of whoever made it."
        )
        if not all(held[split.pool].any() for _, held in scored.references):
            caveats.append("Some reference models hold no audited record: offline attacks rest on them alone.")
    return caveats


def _refuse_over_model(folder: Path) -> None:
    """Refuse to put this report where that of a model's weights is."""
    if not (folder / REPORT_NAME).is_file():
        return
    try:
        there = load_report_dict(folder)
    except InputError:
        return
    if there["model"]["weights_sha256"] is not None:
        raise InputError(
            f"the folder {folder.name} holds the privacy report of a saved model: write to another output_dir, or "
            "pass --replace-report (replace_report=True)"
        )
