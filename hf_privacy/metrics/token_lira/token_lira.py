"""Token LiRA: membership inference by the likelihood ratio of all of a text's tokens: AUC and TPR at low FPR with
intervals.

Membership inference on language models by LiRA on token log-probabilities: a Gaussian vector for models trained with
the text and one for models trained without it, with means token by token and one covariance for all texts, in which
neighbouring tokens are correlated.

## Inputs

- **predictions** (N rows of float): log-probability of each scored token under the target, in nats, ≤ 0; rows may
  differ in length, and none is empty.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_log_probs** (K × N rows of float): the same of K reference models, four or more.
- **reference_membership** (K × N, 0/1): what they were trained on.
- **mode**: `"online"` (default) or `"offline"`, which reads the models that were not trained on a text alone.
- **shrinkage** (float in [0, 1], default 0.5): how far the correlation of neighbours is taken back, 1 for none.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- The reference models must be trained as the target was.

## Citation

```bibtex
@article{rossi2025membership,
  title={Membership Inference Attacks on Sequence Models},
  author={Rossi, Lorenzo and Aerni, Michael and Zhang, Jie and Tramèr, Florian},
  journal={arXiv preprint arXiv:2506.05126},
  year={2025}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import token_lira
from hf_privacy.metrics import TokenAttackMetric
from hf_privacy.metrics import metric_info


class TokenLira(TokenAttackMetric, evaluate.Metric):
    """Summary of token LiRA's scores."""

    attack = staticmethod(token_lira)
    rows = ("reference_log_probs",)
    example = {
        "predictions": [[-0.4, -0.5], [-2.0, -3.0], [-0.3, -0.9], [-1.5, -4.0]],
        "references": [1, 0, 1, 0],
        "reference_log_probs": [
            [[-0.5, -0.6], [-2.1, -2.9], [-0.2, -1.0], [-1.6, -4.1]],
            [[-0.3, -0.5], [-1.9, -3.1], [-0.4, -0.8], [-1.4, -3.9]],
            [[-1.5, -1.9], [-0.8, -1.1], [-1.4, -1.8], [-0.6, -2.0]],
            [[-1.6, -1.6], [-0.9, -1.0], [-1.2, -2.1], [-0.4, -2.1]],
        ],
        "reference_membership": [[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))
