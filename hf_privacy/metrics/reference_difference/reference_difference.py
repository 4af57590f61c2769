"""Reference Difference: membership inference by a signal less that of models not trained on the example: AUC and TPR
at low FPR with intervals.

Membership inference by calibration with reference models: the target's signal less its mean over the reference models
that were not trained on the example. How hard the example is, and what training on others like it does, is taken out.

## Inputs

- **predictions** (float): the target's signal, *higher* for likelier members, such as the negative loss or φ.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_signals** (K × N): the same signal of K reference models.
- **reference_membership** (K × N, 0/1): what they were trained on; every example needs one that was not trained on it.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- The reference models must be trained as the target was.

## Citation

```bibtex
@inproceedings{watson2022importance,
  title={On the Importance of Difficulty Calibration in Membership Inference Attacks},
  author={Watson, Lauren and Guo, Chuan and Cormode, Graham and Sablayrolles, Alexandre},
  booktitle={International Conference on Learning Representations},
  year={2022}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import reference_difference
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class ReferenceDifference(AttackMetric, evaluate.Metric):
    """Summary of the calibrated scores."""

    attack = staticmethod(reference_difference)
    example = {
        "predictions": [-0.1, -0.9, -0.2, -2.1],
        "references": [1, 0, 1, 0],
        "reference_signals": [[-0.2, -1.2, -0.1, -2.5], [-1.6, -1.0, -2.2, -2.0]],
        "reference_membership": [[1, 0, 1, 0], [0, 0, 0, 0]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
