"""Unlearners: trainers that start from a trained model and make it forget some of its training examples."""

from hf_privacy.unlearning.bad_teacher_config import BadTeacherConfig
from hf_privacy.unlearning.bad_teacher_trainer import BadTeacherTrainer
from hf_privacy.unlearning.base_config import UnlearningConfig
from hf_privacy.unlearning.base_trainer import UnlearningTrainer
from hf_privacy.unlearning.evaluation import UnlearningEvaluation, evaluate_unlearning
from hf_privacy.unlearning.fine_tune_config import FineTuneConfig
from hf_privacy.unlearning.fine_tune_trainer import FineTuneTrainer
from hf_privacy.unlearning.fisher_config import FisherConfig
from hf_privacy.unlearning.fisher_trainer import FisherTrainer
from hf_privacy.unlearning.gradient_ascent_config import GradientAscentConfig
from hf_privacy.unlearning.gradient_ascent_trainer import GradientAscentTrainer
from hf_privacy.unlearning.l1_sparse_config import L1SparseConfig
from hf_privacy.unlearning.l1_sparse_trainer import L1SparseTrainer
from hf_privacy.unlearning.neg_grad_plus_config import NegGradPlusConfig
from hf_privacy.unlearning.neg_grad_plus_trainer import NegGradPlusTrainer
from hf_privacy.unlearning.paired_data import PairedBatchSampler, PairedDataset
from hf_privacy.unlearning.parameter_perturbation_config import ParameterPerturbationConfig
from hf_privacy.unlearning.parameter_perturbation_trainer import ParameterPerturbationTrainer
from hf_privacy.unlearning.random_labels_config import RandomLabelsConfig
from hf_privacy.unlearning.random_labels_trainer import RandomLabelsTrainer
from hf_privacy.unlearning.relearning import Relearning, mean_loss, relearning_steps
from hf_privacy.unlearning.remi_config import ReMIConfig
from hf_privacy.unlearning.remi_shadows import ShadowFeatures, shadow_features_of_models, shadow_features_of_store
from hf_privacy.unlearning.remi_trainer import ReMITrainer
from hf_privacy.unlearning.request_log import LOG_NAME, RequestLog, utc_now
from hf_privacy.unlearning.request_queue import QueuedRequest, read_queue
from hf_privacy.unlearning.salun_config import SalUnConfig
from hf_privacy.unlearning.salun_trainer import SalUnTrainer
from hf_privacy.unlearning.scrub_config import SCRUBConfig
from hf_privacy.unlearning.scrub_trainer import SCRUBTrainer
from hf_privacy.unlearning.spd_gan import perturbed_forget_set, train_spd_gan
from hf_privacy.unlearning.spd_gan_acceptance import PerturbedSetAcceptance, accept_perturbed_set
from hf_privacy.unlearning.spd_gan_config import SPDGANConfig
from hf_privacy.unlearning.spd_gan_networks import SPDGenerator
from hf_privacy.unlearning.ssd_config import SSDConfig
from hf_privacy.unlearning.ssd_trainer import SSDTrainer
from hf_privacy.unlearning.stop_rule import HeldoutLossStopCallback
from hf_privacy.unlearning.unlearning_degree import (
    PerturbedTraining,
    UnlearningDegree,
    measure_unlearning_degree,
    train_with_perturbed_set,
)

__all__ = [
    "LOG_NAME",
    "BadTeacherConfig",
    "BadTeacherTrainer",
    "FineTuneConfig",
    "FineTuneTrainer",
    "FisherConfig",
    "FisherTrainer",
    "GradientAscentConfig",
    "GradientAscentTrainer",
    "HeldoutLossStopCallback",
    "L1SparseConfig",
    "L1SparseTrainer",
    "NegGradPlusConfig",
    "NegGradPlusTrainer",
    "PairedBatchSampler",
    "PairedDataset",
    "ParameterPerturbationConfig",
    "ParameterPerturbationTrainer",
    "PerturbedSetAcceptance",
    "PerturbedTraining",
    "QueuedRequest",
    "RandomLabelsConfig",
    "RandomLabelsTrainer",
    "ReMIConfig",
    "ReMITrainer",
    "Relearning",
    "RequestLog",
    "SCRUBConfig",
    "SCRUBTrainer",
    "SPDGANConfig",
    "SPDGenerator",
    "SSDConfig",
    "SSDTrainer",
    "SalUnConfig",
    "SalUnTrainer",
    "ShadowFeatures",
    "UnlearningConfig",
    "UnlearningDegree",
    "UnlearningEvaluation",
    "UnlearningTrainer",
    "accept_perturbed_set",
    "evaluate_unlearning",
    "mean_loss",
    "measure_unlearning_degree",
    "perturbed_forget_set",
    "read_queue",
    "relearning_steps",
    "shadow_features_of_models",
    "shadow_features_of_store",
    "train_spd_gan",
    "train_with_perturbed_set",
    "utc_now",
]
