"""Window Comparison: membership inference by how often a text's stretches became likelier: AUC and TPR with intervals.

Membership inference on fine-tuned language models by window comparison (WBC): the share of a text's windows of 2 to 40
tokens in which the target's log-probabilities add up to more than those of a reference model, such as the checkpoint
before fine-tuning. Signs count each stretch once, where a mean is ruled by a few tokens.

## Inputs

- **predictions** (N rows of float): log-probability of each scored token under the target, in nats, ≤ 0; rows may
  differ in length, and none is empty.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_log_prob** (N rows of float, or K × N rows): the same of the base checkpoint, or of K reference models,
  whose scores are averaged.
- **reference_membership** (K × N, 0/1, optional): what the reference models were trained on; the average is then over
  those that were not trained on the text.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- Members of the *reference's* training set are not told from others.

## Citation

```bibtex
@inproceedings{chen2026window,
  title={Window-based Membership Inference Attacks Against Fine-tuned Large Language Models},
  author={Chen, Yuetian and Du, Yuntao and Zhang, Kaiyuan and Kundu, Ashish and Fleming, Charles and Ribeiro, Bruno and
    Li, Ninghui},
  booktitle={USENIX Security Symposium},
  year={2026}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import window_comparison
from hf_privacy.metrics import TokenAttackMetric
from hf_privacy.metrics import metric_info


class WindowComparison(TokenAttackMetric, evaluate.Metric):
    """Summary of the windows' scores."""

    attack = staticmethod(window_comparison)
    rows = ("reference_log_prob",)
    example = {
        "predictions": [[-0.1, -0.4, -0.2], [-2.0, -3.0], [-0.3, -0.9], [-1.5, -4.0, -0.7, -2.2]],
        "references": [1, 0, 1, 0],
        "reference_log_prob": [[-0.9, -1.0, -0.1], [-1.0, -2.8], [-0.9, -1.2], [-1.4, -4.1, -0.5, -2.0]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))
