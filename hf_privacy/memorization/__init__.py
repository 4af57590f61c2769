"""How much a model's behaviour on an example owes to having been trained on that example."""

from __future__ import annotations

from hf_privacy.memorization import links, proxies
from hf_privacy.memorization.bins import BIN_EDGES, memorization_bin
from hf_privacy.memorization.dynamics import dynamics_proxies
from hf_privacy.memorization.feldman_zhang import feldman_zhang
from hf_privacy.memorization.group_memorization import GroupMemorization, group_memorization
from hf_privacy.memorization.influence import InfluencePairs, influence, influence_matrix
from hf_privacy.memorization.likelihood import RowMemorization, likelihood_memorization
from hf_privacy.memorization.links import (
    binned_means,
    correlation_table,
    dp_bound_violations,
    leakage_share,
    linear_fit,
    memorization_bound,
    mislabel_auroc,
    saturating_fit,
    subpopulation_fits,
)
from hf_privacy.memorization.pairs import mean_memorization_of_pairs
from hf_privacy.memorization.reliability import reliability
from hf_privacy.memorization.standard_error import agresti_caffo, memorization_standard_error
from hf_privacy.memorization.summary import summarize_memorization

__all__ = [
    "BIN_EDGES",
    "GroupMemorization",
    "InfluencePairs",
    "RowMemorization",
    "agresti_caffo",
    "binned_means",
    "correlation_table",
    "dp_bound_violations",
    "dynamics_proxies",
    "feldman_zhang",
    "group_memorization",
    "influence",
    "influence_matrix",
    "leakage_share",
    "likelihood_memorization",
    "linear_fit",
    "links",
    "mean_memorization_of_pairs",
    "memorization_bin",
    "memorization_bound",
    "memorization_standard_error",
    "mislabel_auroc",
    "proxies",
    "reliability",
    "saturating_fit",
    "subpopulation_fits",
    "summarize_memorization",
]
