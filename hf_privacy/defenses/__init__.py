"""Defences are trainers and callbacks; the undefended baseline runs through the same class as all of them."""

from hf_privacy.defenses.base_config import PrivacyConfig
from hf_privacy.defenses.base_trainer import PrivacyTrainer
from hf_privacy.defenses.batch_sampler import MembershipBatchSampler
from hf_privacy.defenses.ccl_config import CCLConfig
from hf_privacy.defenses.ccl_trainer import CCLTrainer
from hf_privacy.defenses.confidence_penalty_config import ConfidencePenaltyConfig
from hf_privacy.defenses.confidence_penalty_trainer import ConfidencePenaltyTrainer
from hf_privacy.defenses.critical_weight_rewind import CriticalWeightRewindCallback, CriticalWeightRewindError
from hf_privacy.defenses.dp_config import DPConfig
from hf_privacy.defenses.dp_trainer import DPTrainer
from hf_privacy.defenses.early_stopping_config import EarlyStoppingConfig
from hf_privacy.defenses.early_stopping_trainer import EarlyStoppingTrainer, ValidationStopCallback
from hf_privacy.defenses.frozen_weights import FrozenWeightsCallback, FrozenWeightsError
from hf_privacy.defenses.hamp_config import HAMPConfig
from hf_privacy.defenses.hamp_trainer import HAMPTrainer
from hf_privacy.defenses.label_smoothing_config import LabelSmoothingConfig
from hf_privacy.defenses.label_smoothing_trainer import LabelSmoothingTrainer
from hf_privacy.defenses.relax_loss_config import RelaxLossConfig
from hf_privacy.defenses.relax_loss_trainer import RelaxLossTrainer
from hf_privacy.defenses.weight_motion import WeightMotionCallback, WeightMotionError

__all__ = [
    "CCLConfig",
    "CCLTrainer",
    "ConfidencePenaltyConfig",
    "ConfidencePenaltyTrainer",
    "CriticalWeightRewindCallback",
    "CriticalWeightRewindError",
    "DPConfig",
    "DPTrainer",
    "EarlyStoppingConfig",
    "EarlyStoppingTrainer",
    "FrozenWeightsCallback",
    "FrozenWeightsError",
    "HAMPConfig",
    "HAMPTrainer",
    "LabelSmoothingConfig",
    "LabelSmoothingTrainer",
    "MembershipBatchSampler",
    "PrivacyConfig",
    "PrivacyTrainer",
    "RelaxLossConfig",
    "RelaxLossTrainer",
    "ValidationStopCallback",
    "WeightMotionCallback",
    "WeightMotionError",
]
