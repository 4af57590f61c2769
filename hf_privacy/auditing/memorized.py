"""The report's figures of how much of a language model's rows, and of whole groups of them, models hold by heart."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import t as student_t

from hf_privacy.auditing.groups import FEWEST
from hf_privacy.auditing.table import SignalTable
from hf_privacy.memorization import correlation_table, group_memorization, likelihood_memorization, reliability
from hf_privacy.statistics.clusters import group_of_each, variance_of_mean

MEASURE = "probability"


def memorization_summary(table: SignalTable, *, confidence: float) -> dict[str, Any] | None:
    """Aggregates of Feldman and Zhang's scores over the pool, by row and by group, and what curvature knows of them.

    Parameters
    ----------
    table : SignalTable
        Of a language model, with references.
    confidence : float

    Returns
    -------
    dict or None
        The report's ``memorization``: "measure", "n_references", "n_examples", "confidence"; "mean", "low", "high"
        over rows (where there are groups an interval over these); "standard_error" of a row's score, mean, and
        "reliability", None with fewer than two references a side; "groups" with "n_groups", "n_above" (how many have
        an interval above 0), and their mean; "curvature" with Spearman's correlation over the members, where the
        audit has curvature, and the same of the "base". None with fewer than 20 rows, of which it would say too much.
    """
    log_likelihood, membership = log_likelihoods(table), table.reference_pool_membership
    if table.n_pool < FEWEST:
        return None
    rows = likelihood_memorization(log_likelihood, membership)
    single = bool(np.isinf(rows.standard_error).any())
    whole = None
    if table.groups is not None:
        whole = group_memorization(log_likelihood, membership, table.groups, confidence=confidence)
        if len(whole.scores) < 2:
            whole = None
    summary: dict[str, Any] = {
        "measure": MEASURE,
        "n_references": table.n_references,
        "n_examples": table.n_pool,
        "confidence": confidence,
        **_mean(rows.scores, table.groups, confidence),
        "standard_error": None if single else float(rows.standard_error.mean()),
        "reliability": None,
        "groups": None,
        "curvature": None,
    }
    if not single and np.ptp(rows.scores) >= 1e-12:
        summary["reliability"] = reliability(np.exp(log_likelihood), membership)["reliability"]
    if whole is not None:
        above = int(((whole.low > 0) & np.isfinite(whole.standard_error)).sum())
        summary["groups"] = {"n_groups": len(whole.scores), "n_above": above, **_mean(whole.scores, None, confidence)}
    if table.has("curvature"):
        summary["curvature"] = _curvature(table, rows.scores, confidence)
    return summary


def log_likelihoods(table: SignalTable) -> np.ndarray:
    """Mean log-likelihood a token of the pool's rows under each reference, float64 [K, N], at most 0."""
    return np.minimum(-table.reference_pool("loss"), 0.0)


def _mean(scores: np.ndarray, groups: np.ndarray | None, confidence: float) -> dict[str, float]:
    """Student's t interval of their mean; groups are what is drawn."""
    group = group_of_each(groups, len(scores))
    mean, n_groups = float(scores.mean()), int(group.max()) + 1
    if n_groups < 2:
        return {"mean": mean, "low": -1.0, "high": 1.0}
    reach = float(student_t.isf((1 - confidence) / 2, n_groups - 1) * np.sqrt(variance_of_mean(scores, group)))
    return {"mean": mean, "low": max(mean - reach, -1.0), "high": min(mean + reach, 1.0)}


def _curvature(table: SignalTable, scores: np.ndarray, confidence: float) -> dict[str, Any] | None:
    """Spearman's correlation of the target's curvature, and of the base's, with the scores of its members."""
    members = table.membership
    curvatures = {"target": table.pool("curvature")[members]}
    if table.base is not None and "curvature" in table.base:
        curvatures["base"] = table.base["curvature"].mean(axis=0)[: table.n_pool][members]
    if members.sum() < FEWEST or np.ptp(scores[members]) == 0:
        return None
    groups = None if table.groups is None else table.groups[members]
    found = correlation_table(scores[members], curvatures, confidence=confidence, groups=groups)
    known = {
        name: {"spearman": one["spearman"], "low": one["spearman_low"], "high": one["spearman_high"]}
        for name, one in found.items()
        if "spearman" in one  # a curvature that is the same for all rows has none
    }
    if "target" not in known:
        return None
    return {**known["target"], "n_examples": int(members.sum()), "base": known.get("base")}
