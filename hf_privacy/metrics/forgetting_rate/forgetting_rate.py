"""Forgetting Rate: what unlearning took of the forget set."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.forgetting import summarize_rate
from hf_privacy.metrics import CheckedInputs

_DESCRIPTION = """\
Share of what held for the forget set before unlearning (answers that are right, or examples judged members) that no \
longer holds after it, with its interval. The goal is the value of a retrained model, not 1.
"""

_INPUTS = """\
predictions (list of 0/1): of each forget example **after** unlearning, 1 where it holds.
references (list of 0/1): of the same example **before** unlearning.
reading (str, keyword): what a 1 says: "accuracy" (default), the model is right, or "membership", an attack judges it a
  member.
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
class ForgettingRate(CheckedInputs, evaluate.Metric):
    """Forgetting Rate with its interval."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions, references, *, reading="accuracy", retrained=None, confidence=0.95):
        result = summarize_rate(
            predictions, references, retrained, rate="forgetting_rate", reading=reading, confidence=confidence
        )
        named = {"value": "forgetting_rate", "low": "forgetting_rate_low", "high": "forgetting_rate_high"}
        return {named.get(key, key): value for key, value in result.items() if value is not None and key != "reading"}
