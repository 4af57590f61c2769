"""SURP: membership inference by tokens that surprise a model sure of itself: AUC and TPR at low FPR with intervals.

Membership inference on language models by SURP: the mean log-probability of those of a text's least likely tokens
where the model's entropy was low. A text without any has the mean of its least likely tokens.

## Inputs

- **predictions** (N rows of float): log-probability of each scored token under the target, in nats, ≤ 0; rows may
  differ in length, and none is empty.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **mean** (N rows of float): Σ p log p over the vocabulary at each token's place, minus the entropy, ≤ 0.
- **k** (float in (0, 1], default 0.4): share of the tokens that are least likely.
- **max_entropy** (float, default 2): in nats, below which a model is sure of itself.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- It needs no other model, and finds little on language models: a value near 0.5 without a reference is a null result.

## Citation

```bibtex
@article{zhang2024adaptive,
  title={Adaptive Pre-training Data Detection for Large Language Models via Surprising Tokens},
  author={Zhang, Anqi and Wu, Chaofeng},
  journal={arXiv preprint arXiv:2407.21248},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import surp
from hf_privacy.metrics import TokenAttackMetric
from hf_privacy.metrics import metric_info


class Surp(TokenAttackMetric, evaluate.Metric):
    """Summary of SURP."""

    attack = staticmethod(surp)
    rows = ("mean",)
    example = {
        "predictions": [[-0.1, -0.4, -0.2], [-2.0, -3.0], [-0.3, -0.9], [-1.5, -4.0, -0.7, -2.2]],
        "references": [1, 0, 1, 0],
        "mean": [[-0.9, -1.0, -1.1], [-1.0, -0.8], [-0.9, -1.2], [-1.0, -1.1, -0.9, -1.0]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))
