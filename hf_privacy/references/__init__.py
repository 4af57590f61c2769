"""Reference models: plan them, train them with the target's own recipe, keep their signals."""

from hf_privacy.references.audited import audit_references
from hf_privacy.references.clone import recipe_hash, reference_trainer, require_cloneable
from hf_privacy.references.collect import ReferenceRun, reference_run
from hf_privacy.references.plan import ReferencePlan, plan_references
from hf_privacy.references.retrained import (
    retrained_evaluations,
    retrained_run,
    retrained_seconds,
    save_retrained_figures,
)
from hf_privacy.references.train import train_references
from hf_privacy.references.unlearned import UnlearnedPhi, unlearned_references
from hf_privacy.references.workers import worker_processes

__all__ = [
    "ReferencePlan",
    "ReferenceRun",
    "UnlearnedPhi",
    "audit_references",
    "plan_references",
    "recipe_hash",
    "reference_run",
    "reference_trainer",
    "require_cloneable",
    "retrained_evaluations",
    "retrained_run",
    "retrained_seconds",
    "save_retrained_figures",
    "train_references",
    "unlearned_references",
    "worker_processes",
]
