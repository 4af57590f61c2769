"""From a case and its sections to the privacy report."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from hf_privacy import __version__
from hf_privacy.auditing.case import AuditCase
from hf_privacy.auditing.repeats import repeats_across
from hf_privacy.auditing.table import SIDES
from hf_privacy.auditing.tokens import token_counts
from hf_privacy.hub import weights_sha256
from hf_privacy.models import describe_model
from hf_privacy.reports import PrivacyReport, public_name
from hf_privacy.statistics.tpr import allowed_false_positives

# With fewer on a side, an interval rests on hardly any groups.
_FEW_GROUPS = 20
VERSIONED_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "peft", "timm", "numpy", "scipy")


def assemble_report(case: AuditCase, sections: Mapping[str, Any]) -> PrivacyReport:
    """Put the sections beside what was audited: identity, utility, cost and caveats; aggregates only.

    Parameters
    ----------
    case : AuditCase
        Whose tables are made.
    sections : dict of str to Any
        Parts of the report by name, as the examinations gave them.
    """
    trainer, split, run, provenance = case.trainer, case.split, case.references, case.provenance
    revised = provenance.dataset_revision
    exact, near = repeats_across(case.repeats)
    # A saved adapter is loaded for inference, with nothing trainable: the trainer's model knows better.
    described = describe_model(
        trainer.model if trainer else case.model,
        base_model=provenance.base_model,
        base_revision=provenance.base_revision,
    )
    base = described["base_model"]
    parts = {
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "model": {
            "name": public_name(provenance.model_name) if provenance.model_name else None,
            "task": case.task.name,
            **described,
            "base_model": public_name(base, pinned=described["base_revision"] is not None) if base else None,
            "weights_sha256": weights_hash(case.model, case.folder),
        },
        "dataset": {
            "name": public_name(provenance.dataset_name, pinned=revised is not None),
            "revision": revised,
            "fingerprint": split.dataset_fingerprint,
            "n_examples": split.n_examples,
            **({"n_classes": int(case.model.config.num_labels)} if case.task.has_classes else {}),
            **(
                {}
                if case.table.tokens is None
                else {"tokens": token_counts(case.table.tokens, case.table.membership, case.evaluated)}
            ),
        },
        "split": {
            "hash": split.hash,
            "n_members": len(split.members),
            "n_nonmembers": len(split.non_members),
            "n_population": len(split.population),
            "stratified": split.stratified,
            "exact_repeats": exact,
            "near_repeats": near,
            **({} if split.groups is None else {"unit": public_name(split.unit), "n_groups": split.n_groups}),
        },
        "defense": {"name": "unknown", "parameters": {}, "paper": None}
        if trainer is None
        else trainer.describe_defense(),
        "training": {}
        if trainer is None
        else {name: value for name, value in trainer.hyperparameters().items() if value is not None},
        "epsilon": {"upper": case.guarantee, "lower": None},
        "depth": case.settings.depth,
        "references": None
        if run is None
        else {
            "n_models": run.plan.n_models,
            "fraction": run.plan.fraction,
            "recipe_hash": run.store.metadata["recipe_hash"],
        },
        "utility": _utility(case),
        "cost": {
            "training_seconds": provenance.training_seconds,
            "signals_seconds": case.seconds["signals"],
            "references_seconds": None if run is None else case.seconds["references"],
            "attacks_seconds": case.seconds["attacks"],
        },
        "versions": versions(),
        "budget": provenance.budget,
        "caveats": [*case.caveats, *_caveats(case)],
    }
    return PrivacyReport(**{**parts, **sections})


def versions() -> dict[str, str]:
    """Versions of this package, Python and the packages the figures rest on."""
    found = {"hf_privacy": __version__, "python": platform.python_version()}
    return found | {name: version(name) for name in VERSIONED_PACKAGES}


def weights_hash(model: torch.nn.Module, folder: Path | None) -> str:
    """Of the saved weights; a model in memory is saved for it, so that the hash is that of a later push."""
    if folder is not None:
        return weights_sha256(folder)
    with tempfile.TemporaryDirectory() as temporary:
        model.save_pretrained(temporary)
        return weights_sha256(temporary)


def _utility(case: AuditCase) -> dict[str, Any]:
    """What the task says that the target is worth, on members and on non-members."""
    table = case.table
    utility = {}
    for name, members in SIDES.items():
        groups = None if table.groups is None else table.groups[table.membership == members]
        found = case.task.utility_estimates(table.of_side(members), groups=groups, confidence=case.settings.confidence)
        utility |= {f"{name}_{what}": value for what, value in found.items()}
    return utility


def _caveats(case: AuditCase) -> list[str]:
    """What depth, references, population and repeats leave unsaid."""
    options, split, caveats = case.settings, case.split, []
    if options.depth == "quick":
        caveats.append(
            "Quick audit: no reference models. Attacks with references (LiRA, RMIA) usually find more; read these "
            "figures as a floor."
        )
    elif options.references < 16:
        caveats.append(
            f"Only {options.references} reference models: more of them make LiRA and RMIA stronger, most of all at "
            "low false positive rates."
        )
    if not len(split.population):
        caveats.append(
            "No population was set aside: Attack-P and RMIA compare members and non-members alike with the target's "
            "non-members."
        )
    unresolved = [fpr for fpr in options.fprs if allowed_false_positives(len(split.non_members), fpr) < 0]
    if unresolved:
        shown = ", ".join(f"{100 * fpr:g} %" for fpr in unresolved)
        caveats.append(
            f"{len(split.non_members):,} non-members cannot resolve a false positive rate of {shown}; no "
            "true positive rate is given there."
        )
    if split.n_groups is not None:
        few = min(split.n_groups["members"], split.n_groups["non_members"])
        if few < _FEW_GROUPS:
            caveats.append(
                f"A side of the split holds {few} groups by {public_name(split.unit)!r}: intervals by group are wide "
                "and the test can show little, whatever the number of rows."
            )
        if case.guarantee is not None and case.guarantee.get("unit", "row") == "row":
            caveats.append(
                f"ε is of one row, and the split and its intervals go by {public_name(split.unit)!r}: what all rows "
                "of one tell together is bounded by no ε stated here."
            )
    exact, near = repeats_across(case.repeats)
    if exact is None:
        caveats.append("Repeats across the split were not looked for.")
    elif exact or near:
        shown = f"{exact:,} exact" + (f" and {near:,} near-exact" if near is not None else "")
        caveats.append(
            f"{shown} repeats of members are among the non-members: they look like members, which biases the figures."
        )
    if options.depth == "full":
        share = len(split.members) / len(split.pool)
        if abs(share - options.fraction) > 0.05:
            caveats.append(
                f"The target was trained on {share:.0%} of the pool and the references on {options.fraction:.0%}: "
                "attacks calibrated on them may be weaker than they could be."
            )
    return caveats
