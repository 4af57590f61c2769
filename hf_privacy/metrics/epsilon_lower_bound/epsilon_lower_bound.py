"""Epsilon Lower Bound: how much privacy loss (epsilon) a membership attack has shown, at a stated confidence.

The ε of differential privacy that a membership attack has shown, as a lower bound at a stated confidence. Beside the
upper bound of a privacy accountant it says how tight that one is, or that something is wrong: a lower bound above the
upper one means a broken implementation.

## Inputs

- **predictions** (float): one membership score per example or canary, *higher* for likelier members.
- **references** (0/1): 1 for a member, 0 for a non-member; for a one-run method the fair coins of the canaries.
- **method**:

| method | from | rests on |
|---|---|---|
| `"clopper_pearson"` (default) | the two error rates at a threshold | scores that are independent: each from a model \
trained apart |
| `"gdp"` | the same | that, and a mechanism whose trade-off curve is Gaussian (μ-GDP), as DP-SGD's nearly is |
| `"one_run"` | guesses about the canaries of one model | every canary put in or left out by its own fair coin; \
nothing else |
| `"one_run_fdp"` | the same | the coins, and a Gaussian trade-off curve |

- **delta** (default 0; above 0 for the Gaussian methods), **confidence** (default 0.95) of the bound, **seed**
  (default 0).
- **correction** (`clopper_pearson`, `gdp`): `"split"` (default; half of the examples choose the threshold, the other
  half count) `"bonferroni"` over **n_thresholds** (default 10) or `"none"`; or one **threshold** set without these
  scores.
- **n_guesses** (one-run methods, required): how many canaries are guessed, fixed before looking; several share the
  risk. **sides**: `"both"` (default), `"in"` or `"out"`.

## Output

| key | meaning |
|---|---|
| `epsilon_lower` | the bound, ≥ 0; it exceeds the true ε in at most a share 1 − confidence of audits |
| `method`, `delta`, `confidence`, `seed` | what it was computed with |
| `correction` or `threshold`; `n_guesses`, `sides` | how the choice of a threshold was paid for; how many guesses, \
on which sides |
| `n_members`, `n_nonmembers` | how many examples or canaries were seen |

## Limitations

- 0 says that nothing was shown, not that nothing leaks. A bound grows with the number of examples and the strength of
  the attack.
- The assumptions in the table are the caller's to keep: no number can show whether the coins were fair.
- The best of several methods, thresholds, seeds or numbers of guesses, chosen after looking, is no bound.

## Citation

```bibtex
@inproceedings{steinke2023privacy,
  title={Privacy Auditing with One (1) Training Run},
  author={Steinke, Thomas and Nasr, Milad and Jagielski, Matthew},
  booktitle={Advances in Neural Information Processing Systems},
  year={2023}
}
@inproceedings{mahloujifar2025auditing,
  title={Auditing f-Differential Privacy in One Run},
  author={Mahloujifar, Saeed and Melis, Luca and Chaudhuri, Kamalika},
  booktitle={International Conference on Machine Learning},
  year={2025}
}
@inproceedings{nasr2023tight,
  title={Tight Auditing of Differentially Private Machine Learning},
  author={Nasr, Milad and Hayes, Jamie and Steinke, Thomas and Balle, Borja and Tram{\\`e}r, Florian and
    Jagielski, Matthew and Carlini, Nicholas and Terzis, Andreas},
  booktitle={USENIX Security Symposium},
  year={2023}
}
```
"""

from __future__ import annotations

import evaluate
import numpy as np
from hf_privacy.errors import InputError
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import zero_one
from hf_privacy.statistics import epsilon_clopper_pearson
from hf_privacy.statistics import epsilon_gdp
from hf_privacy.statistics import epsilon_one_run
from hf_privacy.statistics import epsilon_one_run_fdp

_METHODS = {
    "clopper_pearson": epsilon_clopper_pearson,
    "gdp": epsilon_gdp,
    "one_run": epsilon_one_run,
    "one_run_fdp": epsilon_one_run_fdp,
}


class EpsilonLowerBound(CheckedInputs, evaluate.Metric):
    """The bound, and what it rests on."""

    topic = "differential-privacy"
    example = {
        "predictions": [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, -1, -2, -3, -4, -5, -6],
        "references": [1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        "method": "one_run",
        "n_guesses": 12,
        "delta": 1e-5,
    }

    def _info(self):
        return metric_info(__doc__)

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
