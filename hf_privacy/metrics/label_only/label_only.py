"""Label-Only: membership inference from the predicted class alone: AUC and TPR at low FPR with intervals.

Membership inference from the predicted class alone: whether it is right, and whether it stays right on augmented
copies of the example or how far the example lies from the decision boundary. Hiding the probabilities is no defence
against it, so it is the adaptive attack on defences that mask confidence.

## Inputs

- **predictions** (0/1): 1 where the target's class for the example is right.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **augmented_correct** (Q × N, 0/1): the same on Q augmented copies of each example. Without it, the score is whether
  the answer is right.
- **reference_correct** (K × (1 + Q) × N, 0/1), **reference_membership** (K × N, 0/1), optional: the same of reference
  models, the example itself first, and what they were trained on; **calibration** by them is `"difference"` (default)
  or `"likelihood"`.
- **distance** (N, ≥ 0), in place of all these: distance from each example to the target's decision boundary; an
  example beyond it scores by **misclassified**, `"zero"` (default) or `"negative"` (minus its distance).
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- Right and wrong answers make few different scores: without reference models Q copies give Q + 2 at most, and a TPR at
  a low FPR is then often 0.

## Citation

```bibtex
@inproceedings{choquettechoo2021label,
  title={Label-Only Membership Inference Attacks},
  author={Choquette-Choo, Christopher A. and Tram{\\`e}r, Florian and Carlini, Nicholas and Papernot, Nicolas},
  booktitle={International Conference on Machine Learning},
  year={2021}
}
```
"""

from __future__ import annotations

import evaluate
import numpy as np
from hf_privacy.attacks import label_only_augmented
from hf_privacy.attacks import label_only_distance
from hf_privacy.errors import InputError
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import zero_one


class LabelOnly(CheckedInputs, evaluate.Metric):
    """Summary of a label-only attack's scores."""

    example = {
        "predictions": [1, 1, 1, 0],
        "references": [1, 0, 1, 0],
        "augmented_correct": [[1, 0, 1, 0], [1, 1, 1, 1]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)

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
