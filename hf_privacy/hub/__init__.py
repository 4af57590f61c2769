"""The gate and the one-commit push to the Hub.

Works on the files of a saved model and on report dictionaries; knows neither models nor training.
"""

from __future__ import annotations

from hf_privacy.hub.evidence import strength_order, strongest_attack
from hf_privacy.hub.gate import GateError, GateSettings, check_gate
from hf_privacy.hub.headline import headline
from hf_privacy.hub.levels import levels_record
from hf_privacy.hub.plan import CommitOptions, PushPlan, plan_commit
from hf_privacy.hub.push import check_login, commit_folder
from hf_privacy.hub.schema import REPORT_NAME, load_report_dict, validate_report
from hf_privacy.hub.verdict import Verdict, budget_record, verdict
from hf_privacy.hub.weights import weights_sha256

__all__ = [
    "REPORT_NAME",
    "CommitOptions",
    "GateError",
    "GateSettings",
    "PushPlan",
    "Verdict",
    "budget_record",
    "check_gate",
    "check_login",
    "commit_folder",
    "headline",
    "levels_record",
    "load_report_dict",
    "plan_commit",
    "strength_order",
    "strongest_attack",
    "validate_report",
    "verdict",
    "weights_sha256",
]
