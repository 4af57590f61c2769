"""The audit from end to end: signals, references, attacks, report."""

from hf_privacy.auditing.assemble import repeats_across, versions
from hf_privacy.auditing.audit import audit
from hf_privacy.auditing.case import AuditCase, Provenance
from hf_privacy.auditing.examination import Examination
from hf_privacy.auditing.examinations.canaries.result import CanaryResult
from hf_privacy.auditing.examinations.canaries.run import canary_audit
from hf_privacy.auditing.examinations.unlearning.folder import UnlearnedFolder
from hf_privacy.auditing.examinations.unlearning.judge import judge_unlearning
from hf_privacy.auditing.examinations.unlearning.queue import unlearn_queue
from hf_privacy.auditing.examinations.unlearning.section import Outcome, unlearning_section
from hf_privacy.auditing.examinations.unlearning.serve import unlearn_request
from hf_privacy.auditing.recipe_run import (
    audit_target,
    check_split,
    check_target,
    provenance,
    train_target,
    worth_words,
)
from hf_privacy.auditing.saved_folder import audit_saved_folder
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.auditing.targets import mean_interval

__all__ = [
    "AttackScores",
    "AuditCase",
    "CanaryResult",
    "Examination",
    "Outcome",
    "Provenance",
    "SignalTable",
    "UnlearnedFolder",
    "audit",
    "audit_saved_folder",
    "audit_target",
    "canary_audit",
    "check_split",
    "check_target",
    "judge_unlearning",
    "mean_interval",
    "provenance",
    "repeats_across",
    "train_target",
    "unlearn_queue",
    "unlearn_request",
    "unlearning_section",
    "versions",
    "worth_words",
]
