"""Shadow-Trained Classifier: membership inference by a classifier fitted on reference models: AUC and TPR at low FPR
with intervals.

Membership inference by a classifier: reference (shadow) models, whose members are known, show it what signals members
have and what signals others have; it then judges the target's.

## Inputs

- **predictions** (N × F): the target's signals on each example, such as φ, loss and entropy.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_signals** (K × N × F), **reference_membership** (K × N, 0/1): the same signals of K reference models, and
  what they were trained on.
- **classifier**: `"logistic"` (default), `"mlp"` or `"forest"`; **max_rows** (default 100,000) to fit it on, **seed**
  of the draw and the fit.
- **labels** (N, optional): true classes, for one classifier a class.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- The reference models must be trained as the target was.
- The classifier sees an example's signals only, not which example it is: it cannot calibrate for difficulty as LiRA
  and RMIA do.

## Citation

```bibtex
@inproceedings{shokri2017membership,
  title={Membership Inference Attacks Against Machine Learning Models},
  author={Shokri, Reza and Stronati, Marco and Song, Congzheng and Shmatikov, Vitaly},
  booktitle={IEEE Symposium on Security and Privacy},
  year={2017}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import shadow_classifier
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class ShadowClassifier(AttackMetric, evaluate.Metric):
    """Summary of the shadow-trained classifier's scores."""

    attack = staticmethod(shadow_classifier)
    example = {
        "predictions": [[2.1, 0.1], [0.2, 0.9], [1.8, 0.3], [0.4, 1.1]],
        "references": [1, 0, 1, 0],
        "reference_signals": [
            [[1.9, 0.2], [0.3, 1.0], [2.2, 0.1], [0.1, 0.8]],
            [[0.2, 0.9], [2.0, 0.3], [0.5, 1.2], [1.7, 0.2]],
        ],
        "reference_membership": [[1, 0, 1, 0], [0, 1, 0, 1]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))
