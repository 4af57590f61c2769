"""ReCaLL: membership inference by what a prefix of non-members does to a text's loss: AUC and TPR at low FPR with
intervals.

Membership inference on language models by the loss of a text behind a prefix of a few texts that were not trained on,
as a share of its own loss: such a context hurts a text known by heart and helps another of its kind. It is not the
recall of a classifier.

## Inputs

- **predictions** (float): mean loss of each row over its scored tokens, in nats, ≥ 0.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **prefixed_loss** (N): the same of the same tokens behind the prefix, one for all rows and none of them in it.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- It needs no other model, and finds little on language models: a value near 0.5 without a reference is a null result.

## Citation

```bibtex
@inproceedings{xie2024recall,
  title={ReCaLL: Membership Inference via Relative Conditional Log-Likelihoods},
  author={Xie, Roy and Wang, Junlin and Huang, Ruomin and Zhang, Minxing and Ge, Rong and Pei, Jian and
    Gong, Neil Zhenqiang and Dhingra, Bhuwan},
  booktitle={Conference on Empirical Methods in Natural Language Processing},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import recall
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class Recall(AttackMetric, evaluate.Metric):
    """Summary of ReCaLL's scores."""

    attack = staticmethod(recall)
    example = {
        "predictions": [0.4, 2.1, 0.7, 1.9],
        "references": [1, 0, 1, 0],
        "prefixed_loss": [0.9, 2.0, 1.2, 1.7],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
