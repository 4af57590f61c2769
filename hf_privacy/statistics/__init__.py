"""What scores say about membership: ROC curves, intervals, lower bounds of ε and summaries for reports."""

from __future__ import annotations

from hf_privacy.statistics.bootstrap import bootstrap_interval
from hf_privacy.statistics.checks import check_scores
from hf_privacy.statistics.differences import rate_difference
from hf_privacy.statistics.epsilon import epsilon_clopper_pearson, epsilon_from_counts
from hf_privacy.statistics.gdp import epsilon_gdp, gdp_delta, gdp_epsilon
from hf_privacy.statistics.intervals import auc_interval, clopper_pearson
from hf_privacy.statistics.lower_bounds import epsilon_lower_bounds
from hf_privacy.statistics.one_run import correct_guesses, epsilon_one_run, one_run_p_value
from hf_privacy.statistics.one_run_fdp import epsilon_one_run_fdp
from hf_privacy.statistics.permutation import membership_permutation_test
from hf_privacy.statistics.roc import auc, roc, roc_counts
from hf_privacy.statistics.slices import summarize_slices
from hf_privacy.statistics.summary import summarize
from hf_privacy.statistics.t_interval import t_interval
from hf_privacy.statistics.tpr import tpr_at_fpr
from hf_privacy.statistics.two_sided import two_sided
from hf_privacy.statistics.vulnerability import vulnerability, vulnerable_share

__all__ = [
    "auc",
    "auc_interval",
    "bootstrap_interval",
    "check_scores",
    "clopper_pearson",
    "correct_guesses",
    "epsilon_clopper_pearson",
    "epsilon_from_counts",
    "epsilon_gdp",
    "epsilon_lower_bounds",
    "epsilon_one_run",
    "epsilon_one_run_fdp",
    "gdp_delta",
    "gdp_epsilon",
    "membership_permutation_test",
    "one_run_p_value",
    "rate_difference",
    "roc",
    "roc_counts",
    "summarize",
    "summarize_slices",
    "t_interval",
    "tpr_at_fpr",
    "two_sided",
    "vulnerability",
    "vulnerable_share",
]
