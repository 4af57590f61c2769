"""Unlearners: trainers that start from a trained model and make it forget some of its training examples."""

from hf_privacy.unlearning.bad_teacher.config import BadTeacherConfig
from hf_privacy.unlearning.bad_teacher.trainer import BadTeacherTrainer
from hf_privacy.unlearning.base.config import UnlearningConfig
from hf_privacy.unlearning.base.evaluation import UnlearningEvaluation, evaluate_unlearning
from hf_privacy.unlearning.base.paired_data import PairedBatchSampler, PairedDataset
from hf_privacy.unlearning.base.relearning import Relearning, mean_loss, relearning_steps
from hf_privacy.unlearning.base.stop_rule import HeldoutLossStopCallback
from hf_privacy.unlearning.base.trainer import UnlearningTrainer
from hf_privacy.unlearning.fine_tune.config import FineTuneConfig
from hf_privacy.unlearning.fine_tune.trainer import FineTuneTrainer
from hf_privacy.unlearning.fisher.config import FisherConfig
from hf_privacy.unlearning.fisher.trainer import FisherTrainer
from hf_privacy.unlearning.gradient_ascent.config import GradientAscentConfig
from hf_privacy.unlearning.gradient_ascent.trainer import GradientAscentTrainer
from hf_privacy.unlearning.l1_sparse.config import L1SparseConfig
from hf_privacy.unlearning.l1_sparse.trainer import L1SparseTrainer
from hf_privacy.unlearning.neg_grad_plus.config import NegGradPlusConfig
from hf_privacy.unlearning.neg_grad_plus.trainer import NegGradPlusTrainer
from hf_privacy.unlearning.parameter_perturbation.config import ParameterPerturbationConfig
from hf_privacy.unlearning.parameter_perturbation.trainer import ParameterPerturbationTrainer
from hf_privacy.unlearning.random_labels.config import RandomLabelsConfig
from hf_privacy.unlearning.random_labels.trainer import RandomLabelsTrainer
from hf_privacy.unlearning.remi.config import ReMIConfig
from hf_privacy.unlearning.remi.shadows import ShadowFeatures, shadow_features_of_models, shadow_features_of_store
from hf_privacy.unlearning.remi.trainer import ReMITrainer
from hf_privacy.unlearning.requests.log import LOG_NAME, RequestLog, utc_now
from hf_privacy.unlearning.requests.queue import QueuedRequest, read_queue
from hf_privacy.unlearning.salun.config import SalUnConfig
from hf_privacy.unlearning.salun.trainer import SalUnTrainer
from hf_privacy.unlearning.scrub.config import SCRUBConfig
from hf_privacy.unlearning.scrub.trainer import SCRUBTrainer
from hf_privacy.unlearning.spd_gan.acceptance import PerturbedSetAcceptance, accept_perturbed_set
from hf_privacy.unlearning.spd_gan.config import SPDGANConfig
from hf_privacy.unlearning.spd_gan.networks import SPDGenerator
from hf_privacy.unlearning.spd_gan.spd_gan import perturbed_forget_set, train_spd_gan
from hf_privacy.unlearning.spd_gan.unlearning_degree import (
    PerturbedTraining,
    UnlearningDegree,
    measure_unlearning_degree,
    train_with_perturbed_set,
)
from hf_privacy.unlearning.ssd.config import SSDConfig
from hf_privacy.unlearning.ssd.trainer import SSDTrainer

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
