"""Min-K %++: membership inference by tokens less likely than the model expected: AUC and TPR at low FPR with
intervals.

Membership inference on language models by Min-K %++: each token's log-probability less its mean over the vocabulary,
in standard deviations, both weighted by the model's own probabilities. The score is the mean of the max(1, ⌊k·n⌋)
smallest.

## Inputs

- **predictions** (N rows of float): log-probability of each scored token under the target, in nats, ≤ 0; rows may
  differ in length, and none is empty.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **mean** (N rows of float): Σ p log p over the vocabulary at each token's place, minus the entropy, ≤ 0.
- **variance** (N rows of float): Σ p (log p)² less the square of the mean, ≥ 0.
- **k** (float in (0, 1], default 0.2): share of the tokens.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- It needs no other model, and finds little on language models: a value near 0.5 without a reference is a null result.

## Citation

```bibtex
@inproceedings{zhang2025mink,
  title={Min-K%++: Improved Baseline for Detecting Pre-Training Data from Large Language Models},
  author={Zhang, Jingyang and Sun, Jingwei and Yeats, Eric and Ouyang, Yang and Kuo, Martin and Zhang, Jianyi and
    Yang, Hao Frank and Li, Hai},
  booktitle={International Conference on Learning Representations},
  year={2025}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import min_k_plus_plus
from hf_privacy.metrics import TokenAttackMetric
from hf_privacy.metrics import metric_info


class MinKPlusPlus(TokenAttackMetric, evaluate.Metric):
    """Summary of Min-K %++."""

    attack = staticmethod(min_k_plus_plus)
    rows = ("mean", "variance")
    example = {
        "predictions": [[-0.1, -0.4, -0.2], [-2.0, -3.0], [-0.3, -0.9], [-1.5, -4.0, -0.7, -2.2]],
        "references": [1, 0, 1, 0],
        "mean": [[-0.9, -1.0, -1.1], [-1.0, -0.8], [-0.9, -1.2], [-1.0, -1.1, -0.9, -1.0]],
        "variance": [[0.5, 0.4, 0.6], [0.5, 0.6], [0.4, 0.5], [0.5, 0.5, 0.4, 0.6]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))
