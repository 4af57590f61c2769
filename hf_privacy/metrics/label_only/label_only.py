"""Label-only: membership inference from the predicted class alone."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np
from hf_privacy.attacks import label_only_augmented
from hf_privacy.attacks import label_only_distance
from hf_privacy.errors import InputError
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import zero_one

_DESCRIPTION = """\
Membership inference that sees the predicted class alone: whether it is right, and stays right on augmented copies or \
up to which distance from the decision boundary. Returns AUC, TPR at low FPR, balanced accuracy and advantage, with \
confidence intervals. Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of 0/1): 1 where the target's class for the example is right.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
augmented_correct (Q lists of N 0/1, keyword): the same for Q augmented copies of each example.
reference_correct (K lists of 1 + Q lists of N 0/1, keyword): the same of K reference models, the example itself first.
reference_membership (K lists of N 0/1, keyword): 1 where the reference model was trained on the example.
calibration (str, keyword): by the reference models, "difference" (default) or "likelihood".
distance (list of N floats, keyword): distance from each example to the decision boundary, not below 0; in place of
    augmented_correct.
misclassified (str, keyword): score of an example beyond the boundary, "zero" (default) or "negative" (its distance).
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{choquettechoo2021label,
  title={Label-Only Membership Inference Attacks},
  author={Choquette-Choo, Christopher A. and Tram{\\`e}r, Florian and Carlini, Nicholas and Papernot, Nicolas},
  booktitle={International Conference on Machine Learning},
  year={2021}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class LabelOnly(CheckedInputs, evaluate.Metric):
    """Summary of a label-only attack's scores."""

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
        augmented_correct=None,
        reference_correct=None,
        reference_membership=None,
        calibration="difference",
        distance=None,
        misclassified="zero",
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
    ):
        words = {"one": "a right answer", "zero": "a wrong one"}
        correct = zero_one("predictions", predictions, **words)
        if distance is not None:
            if any(given is not None for given in (augmented_correct, reference_correct, reference_membership)):
                raise InputError("distance comes with other answers: pass distance alone, it is another attack")
            scores = label_only_distance(distance, correct, misclassified=misclassified)
        else:
            copies = zero_one("augmented_correct", () if augmented_correct is None else augmented_correct, **words)
            if len(copies) and copies.shape[1:] != correct.shape:
                raise InputError(
                    f"augmented_correct has shape {copies.shape} for {len(correct):,} examples: pass one row a copy"
                )
            if reference_correct is not None:
                reference_correct = zero_one("reference_correct", reference_correct, **words)
            if reference_membership is not None:
                reference_membership = zero_one("reference_membership", reference_membership)
            scores = label_only_augmented(
                np.stack([correct, *copies]),
                reference_correct=reference_correct,
                reference_membership=reference_membership,
                calibration=calibration,
            )
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
