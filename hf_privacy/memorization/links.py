"""Memorization against curvature, privacy and attacks: the computations of the links, under one name."""

from __future__ import annotations

from hf_privacy.memorization.binned import BinnedMeans, binned_means
from hf_privacy.memorization.correlations import correlation_table
from hf_privacy.memorization.detection import mislabel_auroc
from hf_privacy.memorization.dp_bound import dp_bound_violations, memorization_bound
from hf_privacy.memorization.fits import linear_fit, saturating_fit, subpopulation_fits
from hf_privacy.memorization.leakage import leakage_share

__all__ = [
    "BinnedMeans",
    "binned_means",
    "correlation_table",
    "dp_bound_violations",
    "leakage_share",
    "linear_fit",
    "memorization_bound",
    "mislabel_auroc",
    "saturating_fit",
    "subpopulation_fits",
]
