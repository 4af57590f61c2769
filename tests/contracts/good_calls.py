"""One or more good calls of every public function that takes arrays or numbers: what the contract tests spoil.

A call is (function, arguments). Every parameter of a function must be given in one of its calls, which
`test_every_public_function_and_each_of_its_parameters_is_in_a_call` holds: a new one cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hf_privacy import attacks, forgetting, memorization, statistics
from hf_privacy.data import ForgetRequest, ForgetSplit, MembershipSplit, noisy_labels, redraw_members
from hf_privacy.memorization import proxies
from hf_privacy.references.plan import plan_references

Call = tuple[Callable[..., Any], dict[str, Any]]

_rng = np.random.default_rng(0)
_N = 60
_MEMBERSHIP = np.arange(_N) % 2 == 0
_SCORES = _rng.normal(size=_N) + _MEMBERSHIP
_LABELS = np.arange(_N) % 3
_GROUPS = np.arange(_N) // 30
_OWN_SIDE = np.arange(_N) // 6 * 2 + np.arange(_N) % 2  # groups of members or of non-members alone
_HALVES = _rng.random((4, _N)) < 0.5
_IN = np.concatenate([_HALVES, ~_HALVES])  # eight reference models in complementary pairs
_TABLE = _rng.normal(size=(8, _N))
_PROBS, _LOSSES = _rng.uniform(0.05, 0.95, (8, _N)), _rng.uniform(0.1, 3.0, (8, _N))
_CORRECT = _rng.random((8, _N)) < 0.6
_ZERO_ONE = (_rng.random(_N) < 0.7).astype(int)
_POPULATION = _rng.uniform(0.05, 0.95, (8, 20))
_FEATURES = _rng.normal(size=(_N, 2))
_UNIT = _rng.uniform(0.0, 1.0, (4, _N))
_SPLIT = MembershipSplit(
    np.arange(0, 30), np.arange(30, 50), np.arange(50, _N), n_examples=_N, dataset_fingerprint="f"
)
_SEEDS = {"seed": 1}
_OFFSETS = np.array([0, 20, 21, _N])
_TOKENS = {"log_prob": -_LOSSES[0], "offsets": _OFFSETS}
_SEQUENCES = {"log_prob": -_rng.exponential(1.0, 150), "offsets": np.cumsum([0, *(1, 2, 3, 4) * 15])}  # _N rows
_TOKEN_TABLE = -_rng.exponential(1.0, (8, 150))
_BOUND = {"confidence": 0.9, "delta": 1e-3}
_TWO = {"scores": _SCORES, "membership": _MEMBERSHIP}
_EPSILON = {**_TWO, **_BOUND, **_SEEDS, "correction": "bonferroni", "n_thresholds": 4}
_RUN = {**_TWO, **_SEEDS, "n_guesses": [10, 20], "sides": "both"}
_REFERENCES = {"reference_membership": _IN}
_GAUSSIANS = {"variance": "shrunk", "prior_degrees": 4.0}
_RATE = {"after": _ZERO_ONE, "before": np.ones(_N), "reading": "accuracy"}
_MODELS = {"unlearned": _TABLE[:5], "retrained": _TABLE[3:]}

GOOD: list[Call] = [
    (statistics.auc, _TWO),
    (statistics.auc_interval, {**_TWO, "confidence": 0.9, "groups": _OWN_SIDE}),
    (
        statistics.bootstrap_interval,
        {
            **_TWO,
            **_SEEDS,
            "statistic": "tpr_at_fpr",
            "fpr": 0.1,
            "n_resamples": 40,
            "confidence": 0.9,
            "groups": np.arange(_N) // 2,
            "method": "bca",
        },
    ),
    (statistics.check_scores, _TWO),
    (statistics.clopper_pearson, {"successes": np.array([1, 2]), "trials": np.array([5, 6]), "confidence": 0.9}),
    (statistics.correct_guesses, _RUN),
    (statistics.epsilon_clopper_pearson, _EPSILON),
    (statistics.epsilon_clopper_pearson, {**_TWO, **_BOUND, "threshold": 0.5}),
    (
        statistics.epsilon_from_counts,
        {
            "false_positives": np.array([1, 2]),
            "n_nonmembers": np.array([50, 50]),
            "false_negatives": np.array([3, 4]),
            "n_members": np.array([50, 50]),
            **_BOUND,
        },
    ),
    (statistics.epsilon_gdp, _EPSILON),
    (statistics.epsilon_gdp, {**_TWO, **_BOUND, "threshold": 0.5}),
    (statistics.epsilon_lower_bounds, {**_TWO, **_BOUND, **_SEEDS, "correction": "split", "n_guesses": [10, 20]}),
    (statistics.epsilon_one_run, {**_RUN, **_BOUND}),
    (statistics.epsilon_one_run_fdp, {**_RUN, **_BOUND}),
    (statistics.gdp_delta, {"mu": 1.0, "epsilon": 0.5}),
    (statistics.gdp_epsilon, {"mu": 1.0, "delta": 1e-5}),
    (
        statistics.membership_permutation_test,
        {"scores": _TABLE, "membership": _MEMBERSHIP, "fprs": [0.1], "n_permutations": 20, **_SEEDS},
    ),
    (
        statistics.membership_permutation_test,
        {"scores": _TABLE, "membership": _MEMBERSHIP, "fprs": [0.1], "n_permutations": 20, "groups": _OWN_SIDE},
    ),
    (statistics.t_interval, {"values": np.array([0.1, 0.2, 0.4]), "within": (0.0, 1.0), "confidence": 0.9}),
    (statistics.one_run_p_value, {"n_correct": 7, "n_guesses": 10, "n_canaries": 20, "epsilon": 0.5, "delta": 1e-4}),
    (
        statistics.rate_difference,
        {"successes": 5, "trials": 10, "other_successes": 1, "other_trials": 20, "confidence": 0.9},
    ),
    (statistics.roc, _TWO),
    (statistics.roc_counts, _TWO),
    (statistics.summarize, {**_TWO, "fprs": [0.1, 0.2], "confidence": 0.9, "groups": _OWN_SIDE}),
    (
        statistics.summarize_slices,
        {**_TWO, "groups": _GROUPS, "fprs": [0.1], "confidence": 0.9, "min_examples": 10, "simultaneous": True},
    ),
    (statistics.tpr_at_fpr, {**_TWO, "fpr": 0.1, "confidence": 0.9, "groups": _OWN_SIDE}),
    (statistics.two_sided, {**_TWO, "fprs": [0.1, 0.2], "confidence": 0.9, "groups": _OWN_SIDE}),
    (statistics.vulnerability, {"scores": _TABLE, "membership": _IN, "fpr": 0.2}),
    (
        statistics.vulnerable_share,
        {
            "scores": _TABLE,
            "membership": _IN,
            "fpr": 0.2,
            "shares": [0.2],
            "exposure": _SCORES,
            "confidence": 0.9,
            "min_examples": 5,
        },
    ),
    (attacks.attack_p, {"loss": _LOSSES[0], "population_loss": _LOSSES[1]}),
    (attacks.attack_r, {"loss": _LOSSES[0], "reference_losses": _LOSSES, **_REFERENCES}),
    (attacks.base, {"log_prob": -_LOSSES[0], "reference_log_probs": -_LOSSES, **_REFERENCES, "mode": "balanced"}),
    (attacks.base_calibration, {"signal": _TABLE[0], "base_signal": _TABLE[1]}),
    (
        attacks.blind_baseline,
        {
            "features": _FEATURES,
            "membership": _MEMBERSHIP,
            "n_folds": 2,
            "classifier": "logistic",
            "n_components": 2,
            "max_rows": 40,
            "groups": _OWN_SIDE,
            **_SEEDS,
        },
    ),
    (
        attacks.class_thresholds,
        {"scores": _TABLE, "membership": _IN, "labels": _LABELS, "n_classes": 3, "scarce": "overall"},
    ),
    (attacks.confidence, {"probability": _PROBS[0]}),
    (
        attacks.curvature,
        {
            "log_curvature": _TABLE[0],
            "reference_log_curvature": _TABLE,
            **_REFERENCES,
            **_GAUSSIANS,
            "form": "likelihood_ratio",
        },
    ),
    (attacks.entropy, {"entropy": _LOSSES[0]}),
    (
        attacks.label_only_augmented,
        {
            "correct": _CORRECT[:2],
            "reference_correct": np.stack([_CORRECT, ~_CORRECT], axis=1),
            **_REFERENCES,
            "calibration": "likelihood",
        },
    ),
    (attacks.label_only_distance, {"distance": _LOSSES[0], "correct": _CORRECT[0], "misclassified": "negative"}),
    (attacks.lira, {"signal": _TABLE[0], "reference_signals": _TABLE, **_REFERENCES, **_GAUSSIANS, "mode": "online"}),
    (attacks.loss, {"loss": _LOSSES[0]}),
    (
        attacks.modified_entropy,
        {"modified_entropy": _LOSSES[0], "labels": _LABELS, "thresholds": np.array([-0.1, -0.2, -0.3])},
    ),
    (
        attacks.quantile_regression,
        {
            "hinge": _TABLE[0],
            "features": _FEATURES,
            "calibration_hinge": _TABLE[1],
            "calibration_features": _FEATURES,
            "quantiles": np.array([0.2, 0.5, 0.8]),
            "estimator": "linear",
            "holdout": 0.25,
            **_SEEDS,
        },
    ),
    (
        attacks.rmia,
        {
            "prob": _PROBS[0],
            "reference_probs": _PROBS,
            **_REFERENCES,
            "population_prob": _POPULATION[0],
            "population_reference_probs": _POPULATION,
            "mode": "offline",
            "gamma": 2.0,
            "a": 0.3,
            "population_membership": np.zeros((8, 20), dtype=bool),
        },
    ),
    (
        attacks.rmia,
        {
            "prob": _PROBS[0],
            "reference_probs": _PROBS,
            **_REFERENCES,
            "population_prob": _POPULATION[0],
            "population_reference_probs": _POPULATION,
            "bins": _LABELS,
            "population_bins": np.arange(20) % 3,
        },
    ),
    (attacks.length_bins, {"lengths": _SCORES, "population_lengths": _LOSSES[0], "n_bins": 3, "fewest": 4}),
    (attacks.lowercase, {"loss": _LOSSES[0], "lowercase_loss": _LOSSES[1]}),
    (attacks.recall, {"loss": _LOSSES[0], "prefixed_loss": _LOSSES[1]}),
    (attacks.zlib, {"loss": _LOSSES[0], "texts": ["text"] * _N}),
    (
        attacks.reference_difference,
        {"signal": _TABLE[0], "reference_signals": _TABLE, **_REFERENCES},
    ),
    (attacks.min_k, {**_SEQUENCES, "k": 0.3}),
    (
        attacks.min_k_plus_plus,
        {**_SEQUENCES, "mean": _TOKEN_TABLE[0], "variance": -_TOKEN_TABLE[1], "k": 0.3},
    ),
    (attacks.surp, {**_SEQUENCES, "mean": _TOKEN_TABLE[0], "k": 0.3, "max_entropy": 1.5}),
    (attacks.window_comparison, {**_SEQUENCES, "reference_log_prob": _TOKEN_TABLE, **_REFERENCES}),
    (
        attacks.token_lira,
        {**_SEQUENCES, "reference_log_probs": _TOKEN_TABLE, **_REFERENCES, "mode": "online", "shrinkage": 0.4},
    ),
    (
        attacks.shadow_classifier,
        {
            "signals": _TABLE[0],
            "reference_signals": _TABLE,
            **_REFERENCES,
            "labels": _LABELS,
            "classifier": "logistic",
            "max_rows": 100,
            **_SEEDS,
        },
    ),
    (
        attacks.tune_rmia_a,
        {
            "reference_probs": _PROBS,
            **_REFERENCES,
            "grid": [0.0, 0.5],
            "targets": [0, 1],
            "leave_out": np.zeros((8, 8), dtype=bool),
        },
    ),
    (
        attacks.exposure_by_extrapolation,
        {"loss": _LOSSES[0], "reference_loss": _LOSSES[1], "level": 1e-9, "n_simulated": 19, **_SEEDS},
    ),
    (attacks.exposure_by_sampling, {"loss": _LOSSES[0], "reference_loss": _LOSSES[1]}),
    (attacks.exposure_ceiling, {"n_references": 10}),
    (attacks.extraction, {**_TOKENS, "n": 10.0, "p": 0.5}),
    (attacks.extraction_curve, {**_TOKENS, "n": [1.0, 10.0], "p": [0.5]}),
    (attacks.greedy_extraction, {"greedy": _MEMBERSHIP, "offsets": _OFFSETS}),
    (attacks.log_queries_needed, {**_TOKENS, "p": 0.5}),
    (attacks.repeats_of_rows, {"tokens": _LABELS, "offsets": _OFFSETS}),
    (attacks.longest_common_run, {"generated": [_LABELS, _GROUPS], "true": [_GROUPS, _LABELS]}),
    (attacks.containment, {"generated": [_LABELS, _GROUPS], "true": [_GROUPS, _LABELS], "size": 3}),
    (memorization.agresti_caffo, {"correct": _CORRECT, **_REFERENCES}),
    (memorization.binned_means, {"x": _SCORES, "y": _TABLE[0], "n_bins": 5, "bins": "width", "min_examples": 2}),
    (
        memorization.correlation_table,
        {"scores": _SCORES, "proxies": {"one": _TABLE[0]}, "n_resamples": 40, "confidence": 0.9, **_SEEDS}
        | {"groups": _GROUPS},
    ),
    (
        memorization.dp_bound_violations,
        {
            "scores": _UNIT[0],
            "standard_errors": _UNIT[1],
            "epsilon": 1.0,
            "delta": 1e-5,
            "centres": _UNIT[2],
            "bound": "tight",
            "confidence": 0.9,
        },
    ),
    (memorization.feldman_zhang, {"correct": _CORRECT, **_REFERENCES}),
    (
        memorization.group_memorization,
        {
            "log_likelihood": np.log(_PROBS),
            **_REFERENCES,
            "groups": np.arange(_PROBS.shape[1]),
            "measure": "log_likelihood",
            "confidence": 0.9,
        },
    ),
    (
        memorization.influence,
        {"test_correct": _CORRECT[:, :7], **_REFERENCES, "threshold": 0.5, "max_pairs": 1000},
    ),
    (memorization.influence_matrix, {"test_correct": _CORRECT[:, :7], **_REFERENCES}),
    (
        memorization.leakage_share,
        {**_TWO, "memorization": _UNIT[0], "fpr": 0.1, "top": [0.5], "min_examples": 5},
    ),
    (
        memorization.likelihood_memorization,
        {"log_likelihood": np.log(_PROBS), **_REFERENCES, "measure": "log_likelihood"},
    ),
    (memorization.linear_fit, {"x": _SCORES, "y": _TABLE[0], "confidence": 0.9}),
    (memorization.mean_memorization_of_pairs, {"correct": _CORRECT[[0, 4]], "reference_membership": _IN[[0, 4]]}),
    (memorization.memorization_bin, {"scores": _UNIT[0], "edges": [0.1, 0.5]}),
    (memorization.memorization_bound, {"epsilon": 1.0, "delta": 1e-5, "bound": "tight"}),
    (memorization.memorization_standard_error, {"correct": _CORRECT, **_REFERENCES}),
    (memorization.mislabel_auroc, {"scores": _SCORES, "mislabelled": _MEMBERSHIP, "confidence": 0.9}),
    (memorization.reliability, {"correct": _PROBS, **_REFERENCES, "wanted": 0.8, "n_splits": 3, **_SEEDS}),
    (
        memorization.saturating_fit,
        {"epsilon": np.array([0.5, 1.0, 3.0]), "values": np.array([0.1, 0.2, 0.3]), "confidence": 0.9},
    ),
    (
        memorization.subpopulation_fits,
        {"x": _SCORES, "y": _TABLE[0], "groups": _GROUPS, "min_examples": 5, "confidence": 0.9},
    ),
    (
        memorization.summarize_memorization,
        {"correct": _CORRECT, **_REFERENCES, "edges": [0.1, 0.5], "wanted": 0.8, **_SEEDS},
    ),
    (proxies.mean_loss, {"losses": _LOSSES[:4]}),
    (proxies.confidence, {"probabilities": _UNIT}),
    (proxies.variability, {"probabilities": _UNIT}),
    (proxies.forgetting_events, {"correct": _CORRECT}),
    (proxies.forgetting_scores, {"correct": _CORRECT}),
    (proxies.mean_el2n, {"el2n": _UNIT}),
    (proxies.mean_curvature, {"curvature": _LOSSES[:4]}),
    (forgetting.example_epsilons, {**_MODELS, "attacks": "two_sided", "delta": 0.1}),
    (
        forgetting.forgetting_quality,
        {**_MODELS, "attacks": "one_sided", "delta": 0.1, "bin_width": 0.4, "n_bins": 5, "n_splits": 2, **_SEEDS},
    ),
    (forgetting.forgetting_rate, _RATE),
    (forgetting.forgetting_rate_interval, {**_RATE, "confidence": 0.9}),
    (
        forgetting.klom,
        {**_MODELS, "n_bins": 5, "clip": (-3.0, 3.0), "floor": 1e-4, "n_splits": 2, **_SEEDS},
    ),
    (forgetting.margin_divergence, {**_MODELS, "n_bins": 5, "clip": (-3.0, 3.0), "floor": 1e-4}),
    (forgetting.memory_retention_rate, _RATE),
    (forgetting.memory_retention_rate_interval, {**_RATE, "confidence": 0.9}),
    (
        forgetting.mia_efficacy,
        {
            "forget": _SCORES[:20],
            "retain": _SCORES[20:40],
            "unseen": _SCORES[40:],
            "attack": "logistic",
            "confidence": 0.9,
        },
    ),
    (
        forgetting.summarize_rate,
        {**_RATE, "retrained": _CORRECT[:3].astype(int), "rate": "forgetting_rate", "confidence": 0.9},
    ),
    (forgetting.answer_probability, {"answer": -_LOSSES[0], "perturbed": -_LOSSES[:3].T}),
    (forgetting.exact_memorization, {"greedy": _CORRECT[0], "offsets": _OFFSETS}),
    (forgetting.extraction_strength, {"greedy": _CORRECT[0], "offsets": _OFFSETS}),
    (forgetting.tofu_forget_quality, {"unlearned": _LOSSES[0], "retrained": _LOSSES[1:5]}),
    (forgetting.tofu_utility, {"probability": _UNIT[0, :3], "rouge": _UNIT[1, :3], "truth_ratio": _UNIT[2, :3]}),
    (forgetting.truth_ratio, {"paraphrase": -_LOSSES[0], "perturbed": -_LOSSES[:3].T}),
    (forgetting.truth_ratio_scores, {"ratio": _LOSSES[0], "part": "forget"}),
    (
        forgetting.u_lira,
        {
            "unlearned_phi": _TABLE[:5],
            "never_phi": _TABLE[3:],
            **_GAUSSIANS,
            "variance_floor": 1e-2,
            "fprs": [0.1],
            "confidence": 0.9,
        },
    ),
    (
        forgetting.u_lira_scores,
        {
            "phi": _TABLE[0],
            "unlearned_phi": _TABLE[:5],
            "never_phi": _TABLE[3:],
            **_GAUSSIANS,
            "variance_floor": 1e-2,
        },
    ),
    (
        forgetting.unlearning_degree,
        {"before": _ZERO_ONE, "after": _CORRECT[0], "retrained": _CORRECT[:3], "confidence": 0.9},
    ),
    (
        forgetting.unlearning_figures,
        {
            "forget_correct": _ZERO_ONE[:20],
            "retain_correct": _ZERO_ONE[20:40],
            "test_correct": _ZERO_ONE[40:],
            "forget_scores": _SCORES[:20],
            "retain_scores": _SCORES[20:40],
            "test_scores": _SCORES[40:],
            "attack": "threshold",
        },
    ),
    (noisy_labels, {"labels": _LABELS, "share": 0.2, **_SEEDS}),
    (redraw_members, {"split": _SPLIT, "labels": _LABELS, **_SEEDS}),
    (plan_references, {"labels": _LABELS, "n_models": 4, "fraction": 0.5, "stratify": True, **_SEEDS}),
    (ForgetRequest, {"rows": np.arange(3), **_SEEDS}),
    (ForgetRequest, {"fraction": 0.2}),
    (ForgetSplit, {"forget": np.arange(3), "retain": np.arange(3, 9), "heldout": np.arange(9, 12)}),
]
