"""RMIA: membership inference by dominance over a population."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import rmia
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import zero_one

_DESCRIPTION = """\
Membership inference by the robust membership inference attack (RMIA): how many population examples the target's \
change in probability on an example dominates, against reference models. Returns AUC, TPR at low FPR, balanced \
accuracy and advantage, with confidence intervals. Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): the target's probability of the true class on each example, in [0, 1].
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
reference_probs (K lists of N floats, keyword): the same probability under K reference models.
reference_membership (K lists of N 0/1, keyword): 1 where the reference model was trained on the example.
population_prob (list of Z floats, keyword): the target's probability on population examples, none of them a member.
population_reference_probs (K lists of Z floats, keyword): the same under the reference models.
mode (str, keyword): "online" (default) or "offline".
gamma (float, keyword): default 1.
a (float, keyword): offline only, and required there; see hf_privacy.attacks.tune_rmia_a.
population_membership (K lists of Z 0/1, keyword): by default every reference model is OUT.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{zarifzadeh2024low,
  title={Low-Cost High-Power Membership Inference Attacks},
  author={Zarifzadeh, Sajjad and Liu, Philippe and Shokri, Reza},
  booktitle={International Conference on Machine Learning},
  year={2024}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class Rmia(CheckedInputs, evaluate.Metric):
    """Summary of RMIA's scores."""

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
        reference_probs,
        reference_membership,
        population_prob,
        population_reference_probs,
        mode="online",
        gamma=1.0,
        a=None,
        population_membership=None,
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
    ):
        if population_membership is not None:
            population_membership = zero_one("population_membership", population_membership)
        scores = rmia(
            predictions,
            reference_probs,
            zero_one("reference_membership", reference_membership),
            population_prob,
            population_reference_probs,
            mode=mode,
            gamma=gamma,
            a=a,
            population_membership=population_membership,
        )
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
