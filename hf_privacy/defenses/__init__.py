"""Defences are trainers and callbacks; the undefended baseline runs through the same class as all of them."""

from hf_privacy.defenses.adversarial.config import AdversarialConfig
from hf_privacy.defenses.adversarial.trainer import AdversarialTrainer
from hf_privacy.defenses.adversarial.weight_perturbation import AdversarialWeightPerturbation
from hf_privacy.defenses.base.batch_sampler import MembershipBatchSampler
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.base.weight_motion import WeightMotionCallback, WeightMotionError
from hf_privacy.defenses.ccl.config import CCLConfig
from hf_privacy.defenses.ccl.trainer import CCLTrainer
from hf_privacy.defenses.confidence_penalty.config import ConfidencePenaltyConfig
from hf_privacy.defenses.confidence_penalty.trainer import ConfidencePenaltyTrainer
from hf_privacy.defenses.critical_weights.callback import CriticalWeightRewindCallback, CriticalWeightRewindError
from hf_privacy.defenses.critical_weights.frozen_weights import FrozenWeightsCallback, FrozenWeightsError
from hf_privacy.defenses.demem.config import DeMemConfig
from hf_privacy.defenses.demem.trainer import DeMemTrainer
from hf_privacy.defenses.dp.config import DPConfig
from hf_privacy.defenses.dp.trainer import DPTrainer
from hf_privacy.defenses.dp_adversarial.config import DPAdversarialConfig
from hf_privacy.defenses.dp_adversarial.trainer import DPAdversarialTrainer
from hf_privacy.defenses.early_stopping.config import EarlyStoppingConfig
from hf_privacy.defenses.early_stopping.trainer import EarlyStoppingTrainer, ValidationStopCallback
from hf_privacy.defenses.hamp.config import HAMPConfig
from hf_privacy.defenses.hamp.trainer import HAMPTrainer
from hf_privacy.defenses.label_smoothing.config import LabelSmoothingConfig
from hf_privacy.defenses.label_smoothing.trainer import LabelSmoothingTrainer
from hf_privacy.defenses.observers.curvature_callback import CurvatureCallback
from hf_privacy.defenses.observers.dynamics_store import read_training_dynamics
from hf_privacy.defenses.observers.training_dynamics import TrainingDynamicsCallback
from hf_privacy.defenses.relax_loss.config import RelaxLossConfig
from hf_privacy.defenses.relax_loss.trainer import RelaxLossTrainer

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
