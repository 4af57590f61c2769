"""The audit from end to end: signals, references, attacks, report.

Names are imported when first used: training a target needs none of the attacks.
"""

from hf_privacy.exports import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "case": ("AuditCase", "Provenance"),
        "examination": ("Examination",),
        "examinations.canaries.result": ("CanaryResult",),
        "examinations.canaries.run": ("canary_audit",),
        "examinations.unlearning.folder": ("UnlearnedFolder",),
        "examinations.unlearning.judge": ("judge_unlearning",),
        "examinations.unlearning.queue": ("unlearn_queue",),
        "examinations.unlearning.section": ("Outcome", "unlearning_section"),
        "examinations.unlearning.serve": ("unlearn_request",),
        "made_with": ("versions",),
        "recipe_run": ("audit_target", "provenance"),
        "repeats": ("repeats_across",),
        "saved_folder": ("audit_saved_folder",),
        "score_table.audit": ("audit_scores",),
        "table": ("AttackScores", "SignalTable"),
        "target": ("check_split", "check_target", "train_target", "worth_words"),
        "targets": ("mean_interval",),
        "whole_audit": ("audit",),
    },
)
