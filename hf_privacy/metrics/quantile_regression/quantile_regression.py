"""Quantile Regression: membership inference against the signal that non-members alike would have: AUC and TPR at low
FPR with intervals.

Membership inference by quantile regression (QMIA): a regression fitted on known non-members says how high the target's
signal on such an input usually is, and the example is scored by how far it lies above. It needs no reference models.

## Inputs

- **predictions** (float): the target's hinge h = logit_y − max over j ≠ y of logit_j.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **features** (N × D): what the regression sees of each example, such as the model's last hidden layer.
- **calibration_hinge** (M ≥ 20), **calibration_features** (M × D): the same of examples known to be no members, none
  of them among the N.
- **estimator**: `"gradient_boosting"` (default) or `"linear"`; **quantiles** to fit (by default those that the
  examples carry), **holdout** (default 0.25), the share of the calibration examples to rank against instead of to fit
  on, **seed** of that choice and of the fit.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- The calibration examples must come from the same distribution as the non-members. Few of them leave the outer
  quantiles a guess.

## Citation

```bibtex
@inproceedings{bertran2023scalable,
  title={Scalable Membership Inference Attacks via Quantile Regression},
  author={Bertran, Martin and Tang, Shuai and Kearns, Michael and Morgenstern, Jamie and Roth, Aaron and
    Wu, Zhiwei Steven},
  booktitle={Advances in Neural Information Processing Systems},
  year={2023}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import quantile_regression
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class QuantileRegression(AttackMetric, evaluate.Metric):
    """Summary of the quantile-regression attack's scores."""

    attack = staticmethod(quantile_regression)
    example = {
        "predictions": [3.1, 0.4, 2.2, -0.3],
        "references": [1, 0, 1, 0],
        "features": [[0.1], [0.2], [0.8], [0.9]],
        "calibration_hinge": [(7 * i % 24) / 25 for i in range(24)],
        "calibration_features": [[i / 25] for i in range(24)],
        "estimator": "linear",
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
