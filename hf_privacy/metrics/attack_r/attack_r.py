"""Attack-R: membership inference by the loss as a percentile of reference models': AUC and TPR at low FPR with
intervals.

Membership inference by Attack-R: the share of reference models trained **without** the example whose loss on it is
above the target's. Reference models trained with it are left out of the count.

## Inputs

- **predictions** (float ≥ 0): the target's loss on each example.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_losses** (K × N): the loss of K reference models on the same examples.
- **reference_membership** (K × N, 0/1): 1 where the reference model was trained on the example; each example needs one
  that was not.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- The reference models must be trained as the target was. With K of them outside an example its score has K + 1 values,
  so few make ties.

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
from hf_privacy.attacks import attack_r
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class AttackR(AttackMetric, evaluate.Metric):
    """Summary of Attack-R's scores."""

    attack = staticmethod(attack_r)
    example = {
        "predictions": [0.1, 0.9, 0.2, 2.1],
        "references": [1, 0, 1, 0],
        "reference_losses": [[0.2, 1.1, 0.1, 1.9], [0.8, 0.3, 0.9, 0.6], [0.1, 1.4, 0.2, 2.4], [0.6, 0.2, 0.5, 1.1]],
        "reference_membership": [[1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
