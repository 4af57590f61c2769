"""Attack-P: membership inference by the loss as a percentile of a population's losses."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import attack_p
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary

_DESCRIPTION = """\
Membership inference by Attack-P: the share of population examples on which the target's loss is above that on the \
example. Returns AUC, TPR at low FPR, balanced accuracy and advantage, with confidence intervals. Higher means more \
leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): the target's loss on each example, not below 0.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
population_loss (list of Z floats, keyword): the target's loss on population examples, none of them a member.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{ye2022enhanced,
  title={Enhanced Membership Inference Attacks against Machine Learning Models},
  author={Ye, Jiayuan and Maddi, Aadyaa and Murakonda, Sasi Kumar and Bindschaedler, Vincent and Shokri, Reza},
  booktitle={ACM SIGSAC Conference on Computer and Communications Security},
  year={2022}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class AttackP(CheckedInputs, evaluate.Metric):
    """Summary of Attack-P's scores."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions, references, *, population_loss, fprs=(1e-3, 1e-2, 1e-1), confidence=0.95):
        scores = attack_p(predictions, population_loss)
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
