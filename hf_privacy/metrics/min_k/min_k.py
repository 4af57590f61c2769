"""Min-K %: membership inference by a text's least likely tokens: AUC and TPR at low FPR with confidence intervals.

Membership inference on language models by Min-K %: a text that was trained on has few tokens that the model finds very
unlikely. The score is the mean log-probability of the max(1, ⌊k·n⌋) least likely of its n tokens.

## Inputs

- **predictions** (N rows of float): log-probability of each scored token under the target, in nats, ≤ 0; rows may
  differ in length, and none is empty.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **k** (float in (0, 1], default 0.2): share of the tokens.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- It needs no other model, and finds little on language models: a value near 0.5 without a reference is a null result.

## Citation

```bibtex
@inproceedings{shi2024detecting,
  title={Detecting Pretraining Data from Large Language Models},
  author={Shi, Weijia and Ajith, Anirudh and Xia, Mengzhou and Huang, Yangsibo and Liu, Daogao and Blevins, Terra and
    Chen, Danqi and Zettlemoyer, Luke},
  booktitle={International Conference on Learning Representations},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import min_k
from hf_privacy.metrics import TokenAttackMetric
from hf_privacy.metrics import metric_info


class MinK(TokenAttackMetric, evaluate.Metric):
    """Summary of Min-K %."""

    attack = staticmethod(min_k)
    example = {
        "predictions": [[-0.1, -0.4, -0.2], [-2.0, -3.0], [-0.3, -0.9], [-1.5, -4.0, -0.7, -2.2]],
        "references": [1, 0, 1, 0],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))
