"""Zlib: membership inference by a text's loss against its compressed length: AUC and TPR at low FPR with intervals.

Membership inference on language models by the loss over the bytes of the zlib-compressed text: a text that is easy for
any model, such as a repetition, is short when compressed too.

## Inputs

- **predictions** (float): mean loss of each row over its scored tokens, in nats, ≥ 0.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **texts** (list of N str): the scored text of each row, as it was given.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- It needs no other model, and finds little on language models: a value near 0.5 without a reference is a null result.

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
from hf_privacy.attacks import zlib
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class Zlib(AttackMetric, evaluate.Metric):
    """Summary of the scores of loss over compressed bytes."""

    attack = staticmethod(zlib)
    example = {
        "predictions": [0.4, 2.1, 0.7, 1.9],
        "references": [1, 0, 1, 0],
        "texts": ["a private thing", "a public thing", "something else", "one more of them"],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
