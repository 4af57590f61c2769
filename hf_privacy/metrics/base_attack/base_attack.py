"""BASE: membership inference by the probability beside its mean under reference models: AUC and TPR at low FPR with
intervals.

Membership inference by BASE (Bayes-optimal approximation): log p_y under the target, less the log of the mean p_y
under the reference models. It is RMIA without a population, and does well with few reference models.

## Inputs

- **predictions** (float ≤ 0): the target's log-probability of the true class (minus the cross-entropy loss).
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_log_probs** (K × N): the same under K reference models.
- **mode**: `"all"` (default; the mean over all reference models), `"balanced"` (half over those trained with the
  example, half over those without) or `"offline"` (those without), which need
- **reference_membership** (K × N, 0/1): 1 where the reference model was trained on the example.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- The reference models must be trained as the target was.

## Citation

```bibtex
@inproceedings{lassila2025practical,
  title={Practical Bayes-Optimal Membership Inference Attacks},
  author={Lassila, Marcus and {\\"O}stman, Johan and Ngo, Khac-Hoang and Graell i Amat, Alexandre},
  booktitle={Advances in Neural Information Processing Systems},
  year={2025}
}
```
"""

from __future__ import annotations

from functools import partial

import evaluate
from hf_privacy.attacks import base
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class BaseAttack(AttackMetric, evaluate.Metric):
    """Summary of BASE's scores."""

    attack = staticmethod(partial(base, mode="all"))
    example = {
        "predictions": [-0.1, -0.9, -0.2, -2.1],
        "references": [1, 0, 1, 0],
        "reference_log_probs": [[-0.2, -1.1, -0.1, -1.9], [-0.8, -0.3, -0.9, -0.6]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
