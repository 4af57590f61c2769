"""Base-checkpoint calibration: membership inference by what fine-tuning changed."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import base_calibration
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary

_DESCRIPTION = """\
Membership inference by calibration with the base checkpoint: the signal of a fine-tuned model less that of the \
checkpoint it started from. Returns AUC, TPR at low FPR, balanced accuracy and advantage, with confidence intervals. \
Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): the fine-tuned model's signal on each example, higher for likelier members.
references (list of 0/1): 1 for a member of the fine-tuning set, 0 for a non-member.
base_signal (list of N floats, keyword): the same signal of the base checkpoint.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{watson2022importance,
  title={On the Importance of Difficulty Calibration in Membership Inference Attacks},
  author={Watson, Lauren and Guo, Chuan and Cormode, Graham and Sablayrolles, Alexandre},
  booktitle={International Conference on Learning Representations},
  year={2022}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class BaseCalibration(CheckedInputs, evaluate.Metric):
    """Summary of the calibrated scores."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions, references, *, base_signal, fprs=(1e-3, 1e-2, 1e-1), confidence=0.95):
        scores = base_calibration(predictions, base_signal)
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
