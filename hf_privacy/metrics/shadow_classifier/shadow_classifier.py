"""Shadow-trained classifier: membership inference by a classifier fitted on reference models."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import shadow_classifier
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import zero_one

_DESCRIPTION = """\
Membership inference by a classifier that learns on reference models, whose members are known, what signals members \
have. Returns AUC, TPR at low FPR, balanced accuracy and advantage, with confidence intervals. Higher means more \
leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (N lists of F floats): the target's signals on each example.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
reference_signals (K lists of N lists of F floats, keyword): the same signals of K reference models.
reference_membership (K lists of N 0/1, keyword): 1 where the reference model was trained on the example.
classifier (str, keyword): "logistic" (default), "mlp" or "forest".
labels (list of N int, keyword): true class of each example, for one classifier a class.
max_rows (int, keyword): most pairs of reference model and example to fit on, default 100,000.
seed (int, keyword): of the fit, default 0.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{shokri2017membership,
  title={Membership Inference Attacks Against Machine Learning Models},
  author={Shokri, Reza and Stronati, Marco and Song, Congzheng and Shmatikov, Vitaly},
  booktitle={IEEE Symposium on Security and Privacy},
  year={2017}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class ShadowClassifier(CheckedInputs, evaluate.Metric):
    """Summary of the shadow-trained classifier's scores."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.List(datasets.Value("float64")),
                    "references": datasets.Value("float64"),
                }
            ),
        )

    def _compute(
        self,
        predictions,
        references,
        *,
        reference_signals,
        reference_membership,
        classifier="logistic",
        labels=None,
        max_rows=100_000,
        seed=0,
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
    ):
        scores = shadow_classifier(
            predictions,
            reference_signals,
            zero_one("reference_membership", reference_membership),
            classifier=classifier,
            labels=labels,
            max_rows=max_rows,
            seed=seed,
        )
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
