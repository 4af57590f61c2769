"""Lower bound of epsilon: how much privacy loss a membership attack has shown."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np
from hf_privacy.errors import InputError
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import zero_one
from hf_privacy.statistics import epsilon_clopper_pearson
from hf_privacy.statistics import epsilon_gdp
from hf_privacy.statistics import epsilon_one_run
from hf_privacy.statistics import epsilon_one_run_fdp

_DESCRIPTION = """\
Lower bound of the epsilon of differential privacy that a membership attack has shown, at a stated confidence: from \
the attack's error rates over examples of models trained apart (clopper_pearson, gdp), or from guesses about canaries \
of one training run (one_run, one_run_fdp). 0 says that nothing was shown, not that nothing leaks.
"""

_INPUTS = """\
predictions (list of float): one membership score per example or canary, higher for likelier members.
references (list of 0/1): 1 for a member, 0 for a non-member; for a one-run method the fair coins of the canaries.
method (str, keyword): "clopper_pearson" (default), "gdp", "one_run" or "one_run_fdp".
delta (float, keyword): in [0, 1), default 0; above 0 for "gdp" and "one_run_fdp".
confidence (float, keyword): of the bound, default 0.95.
correction (str, keyword): "split" (default), "bonferroni" or "none"; clopper_pearson and gdp only.
threshold (float, keyword): one set without these scores, in place of a correction; clopper_pearson and gdp only.
n_thresholds (int, keyword): of "bonferroni", default 10; clopper_pearson and gdp only.
n_guesses (int or list of int, keyword): fixed before looking; one-run methods only, and required there.
sides (str, keyword): "both" (default), "in" or "out"; one-run methods only.
seed (int, keyword): of the random halves, or of the order among equal scores, default 0.
"""

_CITATION = """\
@inproceedings{steinke2023privacy,
  title={Privacy Auditing with One (1) Training Run},
  author={Steinke, Thomas and Nasr, Milad and Jagielski, Matthew},
  booktitle={Advances in Neural Information Processing Systems},
  year={2023}
}
"""

_METHODS = {
    "clopper_pearson": epsilon_clopper_pearson,
    "gdp": epsilon_gdp,
    "one_run": epsilon_one_run,
    "one_run_fdp": epsilon_one_run_fdp,
}


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class EpsilonLowerBound(CheckedInputs, evaluate.Metric):
    """The bound, and what it rests on."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(
        self,
        predictions,
        references,
        *,
        method="clopper_pearson",
        delta=0.0,
        confidence=0.95,
        correction=None,
        threshold=None,
        n_thresholds=None,
        n_guesses=None,
        sides=None,
        seed=0,
    ):
        if method not in _METHODS:
            raise InputError(f"method is {method!r}: pass one of {', '.join(_METHODS)}")
        one_run = method in ("one_run", "one_run_fdp")
        by_threshold = {"correction": correction, "threshold": threshold, "n_thresholds": n_thresholds}
        for name, value in (by_threshold if one_run else {"n_guesses": n_guesses, "sides": sides}).items():
            if value is not None:
                raise InputError(f"{name} is no argument of method {method!r}: leave it out, or pass another method")
        if one_run and n_guesses is None:
            raise InputError(f"n_guesses is missing: method {method!r} needs it, fixed before looking at the result")
        if threshold is not None and (correction is not None or n_thresholds is not None):
            raise InputError("threshold comes with a correction: pass one; a threshold of one's own needs none")
        if n_thresholds is not None and correction != "bonferroni":
            raise InputError("n_thresholds comes without correction='bonferroni': pass both, or neither")
        if one_run:
            assumed = {"n_guesses": n_guesses, "sides": "both" if sides is None else sides}
        elif threshold is not None:
            assumed = {"threshold": threshold}
        elif correction == "bonferroni":
            assumed = {"correction": correction, "n_thresholds": 10 if n_thresholds is None else n_thresholds}
        else:
            assumed = {"correction": "split" if correction is None else correction}
        membership = zero_one("references", references)
        settings = {"delta": delta, "confidence": confidence, "seed": seed}
        bound = _METHODS[method](predictions, membership, **settings, **assumed)
        return {
            "epsilon_lower": bound,
            "method": method,
            "n_members": int(np.count_nonzero(membership)),
            "n_nonmembers": int(np.count_nonzero(~membership)),
            **settings,
            **assumed,
        }
