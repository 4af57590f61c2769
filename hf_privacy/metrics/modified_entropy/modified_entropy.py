"""Modified Entropy: membership inference by an uncertainty that knows the true class: AUC and TPR at low FPR with
intervals.

Membership inference by modified entropy, −(1 − p_y)·log p_y − Σ_{j≠y} p_j·log(1 − p_j): an uncertainty that is zero
only for a certain **and right** answer. With a threshold for each class, tuned on shadow or reference models, classes
of different difficulty are judged on one scale.

## Inputs

- **predictions** (float ≥ 0): modified entropy of the target's answer on each example, in nats. Lower for likelier
  members; the module turns the sign.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **labels** (N, whole numbers from 0) and **thresholds** (one per class, on the scale of the score −modified entropy ≤
  0), both or neither: see `hf_privacy.attacks.class_thresholds`.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- Thresholds tuned on the target's own members would make the figure look better than an attacker's.

## Citation

```bibtex
@inproceedings{song2021systematic,
  title={Systematic Evaluation of Privacy Risks of Machine Learning Models},
  author={Song, Liwei and Mittal, Prateek},
  booktitle={USENIX Security Symposium},
  year={2021}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import modified_entropy
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class ModifiedEntropy(AttackMetric, evaluate.Metric):
    """Summary of the modified-entropy attack's scores."""

    attack = staticmethod(modified_entropy)
    example = {
        "predictions": [0.1, 0.9, 1.2, 2.1],
        "references": [1, 0, 1, 0],
        "labels": [0, 0, 1, 1],
        "thresholds": [-0.5, -1.5],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
