"""LiRA: membership inference by the likelihood ratio under reference models: AUC and TPR at low FPR with intervals.

Membership inference by the likelihood-ratio attack: each example's signal under the target, against a Gaussian of the
signals of reference models trained with it and one of those trained without it.

## Inputs

- **predictions** (float): the target's signal φ = logit_y − logsumexp of the other logits, computed from logits.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_signals** (K × N): φ of K reference models on the same examples.
- **reference_membership** (K × N, 0/1): 1 where the reference model was trained on the example.
- **mode**: `"online"` (default; every example needs reference models on both sides) or `"offline"` (those without it).
- **variance**: `"pooled"` (default), `"per_example"` (wants dozens of reference models), `"shrunk"` (pooled as a prior
  that counts for **prior_degrees** observations, default 8) or `"global"` (one spread around the mean of all examples;
  the one that two reference models allow).
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- The reference models must be trained as the target was. Few of them weaken the attack: read the value with their
  number.
- One signal per example; for several augmentations use `hf_privacy.attacks.lira` itself.

## Citation

```bibtex
@inproceedings{carlini2022membership,
  title={Membership Inference Attacks From First Principles},
  author={Carlini, Nicholas and Chien, Steve and Nasr, Milad and Song, Shuang and Terzis, Andreas and
    Tram{\\`e}r, Florian},
  booktitle={IEEE Symposium on Security and Privacy},
  year={2022}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import lira
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class Lira(AttackMetric, evaluate.Metric):
    """Summary of LiRA's scores."""

    attack = staticmethod(lira)
    example = {
        "predictions": [3.0, 0.5, 2.0, 0.2],
        "references": [1, 0, 1, 0],
        "reference_signals": [[2.0, 0.0, 2.2, 1.1], [4.0, 1.0, 3.0, 0.4], [0.0, 3.0, 0.1, 2.5], [1.0, 5.0, 0.5, 1.9]],
        "reference_membership": [[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
