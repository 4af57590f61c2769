"""Defences are trainers and callbacks; the undefended baseline runs through the same class as all of them."""

from hf_privacy.defenses.adversarial_config import AdversarialConfig
from hf_privacy.defenses.adversarial_trainer import AdversarialTrainer
from hf_privacy.defenses.adversarial_weight_perturbation import AdversarialWeightPerturbation
from hf_privacy.defenses.base_config import PrivacyConfig
from hf_privacy.defenses.base_trainer import PrivacyTrainer
from hf_privacy.defenses.batch_sampler import MembershipBatchSampler
from hf_privacy.defenses.ccl_config import CCLConfig
from hf_privacy.defenses.ccl_trainer import CCLTrainer
from hf_privacy.defenses.confidence_penalty_config import ConfidencePenaltyConfig
from hf_privacy.defenses.confidence_penalty_trainer import ConfidencePenaltyTrainer
from hf_privacy.defenses.critical_weight_rewind import CriticalWeightRewindCallback, CriticalWeightRewindError
from hf_privacy.defenses.curvature_callback import CurvatureCallback
from hf_privacy.defenses.demem_config import DeMemConfig
from hf_privacy.defenses.demem_trainer import DeMemTrainer
from hf_privacy.defenses.dp_adversarial_config import DPAdversarialConfig
from hf_privacy.defenses.dp_adversarial_trainer import DPAdversarialTrainer
from hf_privacy.defenses.dp_config import DPConfig
from hf_privacy.defenses.dp_trainer import DPTrainer
from hf_privacy.defenses.dynamics_store import read_training_dynamics
from hf_privacy.defenses.early_stopping_config import EarlyStoppingConfig
from hf_privacy.defenses.early_stopping_trainer import EarlyStoppingTrainer, ValidationStopCallback
from hf_privacy.defenses.frozen_weights import FrozenWeightsCallback, FrozenWeightsError
from hf_privacy.defenses.hamp_config import HAMPConfig
from hf_privacy.defenses.hamp_trainer import HAMPTrainer
from hf_privacy.defenses.label_smoothing_config import LabelSmoothingConfig
from hf_privacy.defenses.label_smoothing_trainer import LabelSmoothingTrainer
from hf_privacy.defenses.relax_loss_config import RelaxLossConfig
from hf_privacy.defenses.relax_loss_trainer import RelaxLossTrainer
from hf_privacy.defenses.training_dynamics import TrainingDynamicsCallback
from hf_privacy.defenses.weight_motion import WeightMotionCallback, WeightMotionError

__all__ = [
    "AdversarialConfig",
    "AdversarialTrainer",
    "AdversarialWeightPerturbation",
    "CCLConfig",
    "CCLTrainer",
    "ConfidencePenaltyConfig",
    "ConfidencePenaltyTrainer",
    "CriticalWeightRewindCallback",
    "CriticalWeightRewindError",
    "CurvatureCallback",
    "DPAdversarialConfig",
    "DPAdversarialTrainer",
    "DPConfig",
    "DPTrainer",
    "DeMemConfig",
    "DeMemTrainer",
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
    "TrainingDynamicsCallback",
    "ValidationStopCallback",
    "WeightMotionCallback",
    "WeightMotionError",
    "read_training_dynamics",
]
