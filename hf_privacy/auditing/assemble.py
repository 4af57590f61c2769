"""From a case and its sections to the privacy report."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from hf_privacy.auditing.case import AuditCase
from hf_privacy.auditing.made_with import caveats_of, versions
from hf_privacy.auditing.repeats import repeats_across
from hf_privacy.auditing.table import SIDES
from hf_privacy.auditing.tokens import token_counts
from hf_privacy.hub import weights_sha256
from hf_privacy.models import describe_model
from hf_privacy.reports import PrivacyReport, public_name


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
        "levels": provenance.levels,
        "caveats": [*case.caveats, *caveats_of(case.settings, split, repeats=(exact, near), guarantee=case.guarantee)],
    }
    return PrivacyReport(**{**parts, **sections})


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
