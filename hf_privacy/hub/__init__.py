"""The gate and the one-commit push to the Hub.

Works on the files of a saved model and on report dictionaries; knows neither models nor training.
"""

from __future__ import annotations

from hf_privacy.hub.gate import GateError, check_gate
from hf_privacy.hub.plan import PushPlan, plan_push
from hf_privacy.hub.push import check_login, push_folder
from hf_privacy.hub.schema import REPORT_NAME, load_report_dict, validate_report
from hf_privacy.hub.weights import weights_sha256

__all__ = [
    "REPORT_NAME",
    "GateError",
    "PushPlan",
    "check_gate",
    "check_login",
    "load_report_dict",
    "plan_push",
    "push_folder",
    "validate_report",
    "weights_sha256",
]
