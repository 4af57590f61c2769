"""Quantile regression: membership inference against the signal that non-members alike would have."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import quantile_regression
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary

_DESCRIPTION = """\
Membership inference by quantile regression (QMIA): the target's signal on the example against the quantiles of it \
that a regression on non-members foretells for such inputs. Returns AUC, TPR at low FPR, balanced accuracy and \
advantage, with confidence intervals. Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): the target's hinge on each example, logit_y less the largest other logit.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
features (N lists of D floats, keyword): what the regression sees of each example, never its label of membership.
calibration_hinge (list of M floats, keyword): the target's hinge on examples known to be no members.
calibration_features (M lists of D floats, keyword): their features.
quantiles (list of float, keyword): levels to fit, by default those that the examples carry.
estimator (str, keyword): "gradient_boosting" (default) or "linear".
holdout (float, keyword): share of the calibration examples to rank against instead of to fit on, default 0.25.
seed (int, keyword): of the choice of the held-out ones and of the fit, default 0.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{bertran2023scalable,
  title={Scalable Membership Inference Attacks via Quantile Regression},
  author={Bertran, Martin and Tang, Shuai and Kearns, Michael and Morgenstern, Jamie and Roth, Aaron and
    Wu, Zhiwei Steven},
  booktitle={Advances in Neural Information Processing Systems},
  year={2023}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class QuantileRegression(CheckedInputs, evaluate.Metric):
    """Summary of the quantile-regression attack's scores."""

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
        features,
        calibration_hinge,
        calibration_features,
        quantiles=None,
        estimator="gradient_boosting",
        holdout=0.25,
        seed=0,
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
    ):
        scores = quantile_regression(
            predictions,
            features,
            calibration_hinge,
            calibration_features,
            quantiles=quantiles,
            estimator=estimator,
            holdout=holdout,
            seed=seed,
        )
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
