"""Defences are trainers and callbacks; the undefended baseline runs through the same class as all of them."""

from hf_privacy.defenses.base_config import PrivacyConfig
from hf_privacy.defenses.base_trainer import PrivacyTrainer
from hf_privacy.defenses.batch_sampler import MembershipBatchSampler
from hf_privacy.defenses.weight_motion import WeightMotionCallback, WeightMotionError

__all__ = [
    "MembershipBatchSampler",
    "PrivacyConfig",
    "PrivacyTrainer",
    "WeightMotionCallback",
    "WeightMotionError",
]
