"""Membership inference: one attack a module, pure functions on arrays; every score is higher for likelier members."""

from __future__ import annotations

from hf_privacy.attacks.attack_p import attack_p
from hf_privacy.attacks.attack_r import attack_r
from hf_privacy.attacks.base import base
from hf_privacy.attacks.base_calibration import base_calibration, base_difference
from hf_privacy.attacks.blind_baseline import blind_baseline
from hf_privacy.attacks.class_thresholds import class_thresholds
from hf_privacy.attacks.confidence import confidence
from hf_privacy.attacks.curvature import curvature
from hf_privacy.attacks.entropy import entropy
from hf_privacy.attacks.exposure import exposure_by_extrapolation, exposure_by_sampling, exposure_ceiling
from hf_privacy.attacks.extraction import (
    extraction,
    extraction_curve,
    greedy_extraction,
    log_queries_needed,
    repeats_of_rows,
)
from hf_privacy.attacks.label_only import label_only_augmented, label_only_distance
from hf_privacy.attacks.length_bins import length_bins
from hf_privacy.attacks.lira import lira
from hf_privacy.attacks.loss import loss
from hf_privacy.attacks.lowercase import lowercase
from hf_privacy.attacks.min_k import min_k
from hf_privacy.attacks.min_k_plus_plus import min_k_plus_plus
from hf_privacy.attacks.modified_entropy import modified_entropy
from hf_privacy.attacks.quantile_regression import quantile_regression
from hf_privacy.attacks.recall import recall
from hf_privacy.attacks.reference_difference import reference_difference
from hf_privacy.attacks.rmia import rmia
from hf_privacy.attacks.rmia_tuning import tune_rmia_a
from hf_privacy.attacks.shadow_classifier import shadow_classifier
from hf_privacy.attacks.surp import surp
from hf_privacy.attacks.text_overlap import containment, longest_common_run
from hf_privacy.attacks.token_lira import token_lira
from hf_privacy.attacks.window_comparison import window_comparison
from hf_privacy.attacks.zlib import zlib

__all__ = [
    "attack_p",
    "attack_r",
    "base",
    "base_calibration",
    "base_difference",
    "blind_baseline",
    "class_thresholds",
    "confidence",
    "containment",
    "curvature",
    "entropy",
    "exposure_by_extrapolation",
    "exposure_by_sampling",
    "exposure_ceiling",
    "extraction",
    "extraction_curve",
    "greedy_extraction",
    "label_only_augmented",
    "label_only_distance",
    "length_bins",
    "lira",
    "log_queries_needed",
    "longest_common_run",
    "loss",
    "lowercase",
    "min_k",
    "min_k_plus_plus",
    "modified_entropy",
    "quantile_regression",
    "recall",
    "reference_difference",
    "repeats_of_rows",
    "rmia",
    "shadow_classifier",
    "surp",
    "token_lira",
    "tune_rmia_a",
    "window_comparison",
    "zlib",
]
