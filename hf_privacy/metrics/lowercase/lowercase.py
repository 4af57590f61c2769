"""Lowercase: membership inference by a text's loss against that of its lower case: AUC and TPR at low FPR with
intervals.

Membership inference on language models by the loss as a share of the loss of the same text in lower case: where
capital letters stand is learnt with a text, and not with the language.

## Inputs

- **predictions** (float): mean loss of each row over its scored tokens, in nats, ≥ 0.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **lowercase_loss** (N): the same of each row with its scored text in lower case, tokenised anew.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- It needs no other model, and finds little on language models: a value near 0.5 without a reference is a null result.
- Texts without capital letters score −1.

## Citation

```bibtex
@inproceedings{carlini2021extracting,
  title={Extracting Training Data from Large Language Models},
  author={Carlini, Nicholas and Tramer, Florian and Wallace, Eric and Jagielski, Matthew and Herbert-Voss, Ariel and
    Lee, Katherine and Roberts, Adam and Brown, Tom and Song, Dawn and Erlingsson, Ulfar and Oprea, Alina and
    Raffel, Colin},
  booktitle={USENIX Security Symposium},
  year={2021}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import lowercase
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class Lowercase(AttackMetric, evaluate.Metric):
    """Summary of the scores of loss over the lowered text's."""

    attack = staticmethod(lowercase)
    example = {
        "predictions": [0.4, 2.1, 0.7, 1.9],
        "references": [1, 0, 1, 0],
        "lowercase_loss": [2.0, 2.2, 1.9, 2.0],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
