"""Base-Checkpoint Calibration: membership inference by what fine-tuning changed: AUC and TPR at low FPR with
intervals.

Membership inference by calibration with the base checkpoint: the signal of a fine-tuned model less that of the
checkpoint it started from. An example that the base model finds easy has a high signal without having been trained on;
the difference takes that out, and needs no reference models.

## Inputs

- **predictions** (float): the fine-tuned model's signal, *higher* for likelier members, such as the negative loss or
  φ.
- **references** (0/1): 1 for a member of the fine-tuning set, 0 for a non-member.
- **base_signal** (N): the same signal of the base checkpoint on the same examples. Its head must know the task.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- Members of the *base* checkpoint's training set are not told from others.

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
from hf_privacy.attacks import base_calibration
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class BaseCalibration(AttackMetric, evaluate.Metric):
    """Summary of the calibrated scores."""

    attack = staticmethod(base_calibration)
    example = {
        "predictions": [-0.1, -0.9, -0.2, -2.1],
        "references": [1, 0, 1, 0],
        "base_signal": [-1.6, -1.0, -2.2, -2.5],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
