"""What unlearning did, judged against retraining and against retraining's own noise: pure functions on arrays."""

from __future__ import annotations

from hf_privacy.forgetting.forgetting_quality import example_epsilons, forgetting_quality
from hf_privacy.forgetting.gap import FIGURES, gap_table, unlearning_figures, unlearning_gap
from hf_privacy.forgetting.klom import klom, margin_divergence
from hf_privacy.forgetting.mia_efficacy import mia_efficacy
from hf_privacy.forgetting.rates import (
    forgetting_rate,
    forgetting_rate_interval,
    memory_retention_rate,
    memory_retention_rate_interval,
    summarize_rate,
)
from hf_privacy.forgetting.tofu import tofu_forget_quality, tofu_utility
from hf_privacy.forgetting.truth_ratio import answer_probability, truth_ratio, truth_ratio_scores
from hf_privacy.forgetting.u_lira import ULira, u_lira, u_lira_scores
from hf_privacy.forgetting.unlearning_degree import unlearning_degree
from hf_privacy.forgetting.verbatim import exact_memorization, extraction_strength, rouge_l_recall

__all__ = [
    "FIGURES",
    "ULira",
    "answer_probability",
    "exact_memorization",
    "example_epsilons",
    "extraction_strength",
    "forgetting_quality",
    "forgetting_rate",
    "forgetting_rate_interval",
    "gap_table",
    "klom",
    "margin_divergence",
    "memory_retention_rate",
    "memory_retention_rate_interval",
    "mia_efficacy",
    "rouge_l_recall",
    "summarize_rate",
    "tofu_forget_quality",
    "tofu_utility",
    "truth_ratio",
    "truth_ratio_scores",
    "u_lira",
    "u_lira_scores",
    "unlearning_degree",
    "unlearning_figures",
    "unlearning_gap",
]
