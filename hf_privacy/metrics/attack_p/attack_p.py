"""Attack-P: membership inference by the loss as a percentile of a population's: AUC and TPR at low FPR with intervals.

Membership inference by Attack-P: the share of population examples on which the target's loss is above that on the
example. It needs no reference models, and one minus the score is the false positive rate of calling the example a
member.

## Inputs

- **predictions** (float ≥ 0): the target's loss on each example.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **population_loss** (Z): the target's loss on population examples, none of them a member and none among the examples.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- On one target it orders examples as the loss does, but in steps of 1/Z: a small population ties what the loss tells
  apart.

## Citation

```bibtex
@inproceedings{ye2022enhanced,
  title={Enhanced Membership Inference Attacks against Machine Learning Models},
  author={Ye, Jiayuan and Maddi, Aadyaa and Murakonda, Sasi Kumar and Bindschaedler, Vincent and Shokri, Reza},
  booktitle={ACM SIGSAC Conference on Computer and Communications Security},
  year={2022}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import attack_p
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class AttackP(AttackMetric, evaluate.Metric):
    """Summary of Attack-P's scores."""

    attack = staticmethod(attack_p)
    example = {
        "predictions": [0.1, 0.9, 0.2, 2.1],
        "references": [1, 0, 1, 0],
        "population_loss": [0.3, 0.8, 1.2, 2.5],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
