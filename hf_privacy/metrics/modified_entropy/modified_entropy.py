"""Modified entropy: membership inference by an uncertainty that knows the true class."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import modified_entropy
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary

_DESCRIPTION = """\
Membership inference by modified entropy: the target's uncertainty on the example, which is zero only for a certain \
and right answer; optionally against a threshold for each class. Returns AUC, TPR at low FPR, balanced accuracy and \
advantage, with confidence intervals. Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): modified entropy of the target's answer on each example, in nats, not below 0.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
labels (list of N int, keyword): true class of each example; together with thresholds.
thresholds (list of C floats, keyword): one for each class, at most 0, of hf_privacy.attacks.class_thresholds.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{song2021systematic,
  title={Systematic Evaluation of Privacy Risks of Machine Learning Models},
  author={Song, Liwei and Mittal, Prateek},
  booktitle={USENIX Security Symposium},
  year={2021}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class ModifiedEntropy(CheckedInputs, evaluate.Metric):
    """Summary of the modified-entropy attack's scores."""

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
        self, predictions, references, *, labels=None, thresholds=None, fprs=(1e-3, 1e-2, 1e-1), confidence=0.95
    ):
        scores = modified_entropy(predictions, labels=labels, thresholds=thresholds)
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
