"""Unlearning degree: accuracy lost on the perturbed forget set, and the most there is to lose."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.forgetting import unlearning_degree
from hf_privacy.metrics import CheckedInputs

_DESCRIPTION = """\
Accuracy on the slightly perturbed forget set before unlearning less that after it, with its interval and, given \
retrained models, the ceiling: what retraining takes away. More than the ceiling is no better.
"""

_INPUTS = """\
predictions (list of 0/1): 1 where the model is right on the perturbed forget example **after** unlearning.
references (list of 0/1): the same **before** unlearning.
retrained (list of N 0/1, or R of them, keyword): the same of one or several models retrained without the forget set.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@article{zuo2025machine,
  title={Machine Unlearning through Fine-Grained Model Parameters Perturbation},
  author={Zuo, Zhiwei and Tang, Zhuo and Li, Kenli and Datta, Anwitaman},
  journal={IEEE Transactions on Knowledge and Data Engineering},
  year={2025}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class UnlearningDegree(CheckedInputs, evaluate.Metric):
    """Unlearning degree with its ceiling."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions, references, *, retrained=None, confidence=0.95):
        result = unlearning_degree(references, predictions, retrained, confidence=confidence)
        named = {"low": "unlearning_degree_low", "high": "unlearning_degree_high"}
        return {named.get(key, key): value for key, value in result.items() if value is not None}
