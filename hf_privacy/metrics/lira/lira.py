"""LiRA: membership inference by the likelihood ratio under reference models."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import lira
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import zero_one

_DESCRIPTION = """\
Membership inference by the likelihood-ratio attack (LiRA): the target's signal on each example against those of \
reference models trained with and without it. Returns AUC, TPR at low FPR, balanced accuracy and advantage, with \
confidence intervals. Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): the target's signal on each example, logit_y - logsumexp of the other logits.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
reference_signals (K lists of N floats, keyword): the same signal of K reference models.
reference_membership (K lists of N 0/1, keyword): 1 where the reference model was trained on the example.
mode (str, keyword): "online" (default) or "offline".
variance (str, keyword): "pooled" (default), "per_example", "shrunk" or "global".
prior_degrees (float, keyword): of "shrunk", how many observations the pooled variance counts for, default 8.
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
class Lira(CheckedInputs, evaluate.Metric):
    """Summary of LiRA's scores."""

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
        reference_signals,
        reference_membership,
        mode="online",
        variance="pooled",
        prior_degrees=8.0,
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
    ):
        scores = lira(
            predictions,
            reference_signals,
            zero_one("reference_membership", reference_membership),
            mode=mode,
            variance=variance,
            prior_degrees=prior_degrees,
        )
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
