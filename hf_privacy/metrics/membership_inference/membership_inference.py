"""Membership inference: how well scores tell members of the training set from non-members."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.metrics import flatten_summary
from hf_privacy.metrics import zero_one
from hf_privacy.statistics import summarize

_DESCRIPTION = """\
How well a membership score tells training examples (members) from others: AUC, TPR at low FPR, balanced accuracy and \
advantage, with confidence intervals. Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): one membership score per example, higher for likelier members.
references (list of 0/1): 1 for a member, 0 for a non-member; the two may differ in number.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{carlini2022membership,
  title={Membership Inference Attacks From First Principles},
  author={Carlini, Nicholas and Chien, Steve and Nasr, Milad and Song, Shuang and Terzis, Andreas and
    Tram{\\`e}r, Florian},
  booktitle={IEEE Symposium on Security and Privacy},
  year={2022}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class MembershipInference(evaluate.Metric):
    """Summary of membership scores."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            # float64: in float32, scores that differ would tie and the ROC curve with them.
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions, references, *, fprs=(1e-3, 1e-2, 1e-1), confidence=0.95):
        return flatten_summary(
            summarize(predictions, zero_one("references", references), fprs=fprs, confidence=confidence)
        )
