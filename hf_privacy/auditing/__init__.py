"""The audit from end to end: signals, references, attacks, report."""

from hf_privacy.auditing.assemble import Provenance, repeats_across, versions
from hf_privacy.auditing.audit import audit
from hf_privacy.auditing.canaries import canary_audit
from hf_privacy.auditing.canary_result import CanaryResult
from hf_privacy.auditing.recipe_run import audit_target, check_split, check_target, provenance, train_target
from hf_privacy.auditing.targets import mean_interval

__all__ = [
    "CanaryResult",
    "Provenance",
    "audit",
    "audit_target",
    "canary_audit",
    "check_split",
    "check_target",
    "mean_interval",
    "provenance",
    "repeats_across",
    "train_target",
    "versions",
]
