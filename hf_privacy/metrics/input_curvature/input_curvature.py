"""Input curvature: membership inference by the curvature of the loss around an example."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import curvature
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import zero_one

_DESCRIPTION = """\
Membership inference by the curvature of the loss around an example: the log curvature under the target against \
those under reference models trained with and without it. Returns AUC, TPR at low FPR, balanced accuracy and \
advantage, with confidence intervals. Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): log of the target's input-loss curvature at each example, at the true label.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
reference_log_curvature (K lists of N floats, keyword): the same of K reference models, by the same estimator.
reference_membership (K lists of N 0/1, keyword): 1 where the reference model was trained on the example.
form (str, keyword): "likelihood_ratio" (default) or "nll".
variance (str, keyword): "pooled" (default), "per_example", "shrunk" or "global".
prior_degrees (float, keyword): of "shrunk", how many observations the pooled variance counts for, default 8.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{ravikumar2024curvature,
  title={Curvature Clues: Decoding Deep Learning Privacy with Input Loss Curvature},
  author={Ravikumar, Deepak and Soufleri, Efstathia and Roy, Kaushik},
  booktitle={Advances in Neural Information Processing Systems},
  year={2024}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class InputCurvature(CheckedInputs, evaluate.Metric):
    """Summary of the curvature attack's scores."""

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
        reference_log_curvature,
        reference_membership,
        form="likelihood_ratio",
        variance="pooled",
        prior_degrees=8.0,
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
    ):
        scores = curvature(
            predictions,
            reference_log_curvature,
            zero_one("reference_membership", reference_membership),
            form=form,
            variance=variance,
            prior_degrees=prior_degrees,
        )
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
