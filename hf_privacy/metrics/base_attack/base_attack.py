"""BASE: membership inference by the probability beside the mean probability under reference models."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import base
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import zero_one

_DESCRIPTION = """\
Membership inference by BASE: the target's log-probability of the true class less the log of its mean probability \
under reference models. Returns AUC, TPR at low FPR, balanced accuracy and advantage, with confidence intervals. \
Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): the target's log-probability of the true class on each example, at most 0.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
reference_log_probs (K lists of N floats, keyword): the same under K reference models.
reference_membership (K lists of N 0/1, keyword): 1 where the reference model was trained on the example.
mode (str, keyword): "all" (default); "balanced" and "offline" read reference_membership.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{lassila2025practical,
  title={Practical Bayes-Optimal Membership Inference Attacks},
  author={Lassila, Marcus and {\\"O}stman, Johan and Ngo, Khac-Hoang and Graell i Amat, Alexandre},
  booktitle={Advances in Neural Information Processing Systems},
  year={2025}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class BaseAttack(CheckedInputs, evaluate.Metric):
    """Summary of BASE's scores."""

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
        reference_log_probs,
        reference_membership=None,
        mode="all",
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
    ):
        if reference_membership is not None:
            reference_membership = zero_one("reference_membership", reference_membership)
        scores = base(predictions, reference_log_probs, reference_membership=reference_membership, mode=mode)
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
