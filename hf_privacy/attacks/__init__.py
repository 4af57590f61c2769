"""Membership inference: one attack a module, pure functions on arrays; every score is higher for likelier members."""

from __future__ import annotations

from hf_privacy.attacks.attack_p import attack_p
from hf_privacy.attacks.base_calibration import base_calibration
from hf_privacy.attacks.lira import lira
from hf_privacy.attacks.loss import loss
from hf_privacy.attacks.modified_entropy import modified_entropy
from hf_privacy.attacks.rmia import rmia
from hf_privacy.attacks.rmia_tuning import tune_rmia_a

__all__ = ["attack_p", "base_calibration", "lira", "loss", "modified_entropy", "rmia", "tune_rmia_a"]
