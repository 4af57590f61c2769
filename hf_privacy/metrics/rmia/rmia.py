"""RMIA: membership inference by dominance over a population: AUC and TPR at low FPR with confidence intervals.

Membership inference by the robust membership inference attack: the share of population examples over which the target
raises the probability of an example, relative to reference models. It does well with few reference models.

## Inputs

- **predictions** (float in [0, 1]): the target's probability of the true class.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_probs** (K × N), **reference_membership** (K × N, 0/1): the same under K reference models, and what they
  were trained on.
- **population_prob** (Z), **population_reference_probs** (K × Z): the same on population examples, none of them a
  member of the target.
- **population_membership** (K × Z, 0/1, default all 0): for a population that overlaps the examples. All examples,
  those of the population too, are compared with the whole of it.
- **mode**: `"online"` (default) or `"offline"`, which needs **a** in [0, 1] (see `hf_privacy.attacks.tune_rmia_a`).
- **gamma** (default 1).
- **bins** (N), **population_bins** (Z): numbers from 0, for sequences: an example is compared with the population of
  its bin alone, such as that of about its length (`hf_privacy.attacks.length_bins`). Both or neither.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- The reference models must be trained as the target was.
- A small population makes coarse scores: their ties are broken by the probability ratio alone.

## Citation

```bibtex
@inproceedings{zarifzadeh2024low,
  title={Low-Cost High-Power Membership Inference Attacks},
  author={Zarifzadeh, Sajjad and Liu, Philippe and Shokri, Reza},
  booktitle={International Conference on Machine Learning},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import rmia
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class Rmia(AttackMetric, evaluate.Metric):
    """Summary of RMIA's scores."""

    attack = staticmethod(rmia)
    example = {
        "predictions": [0.9, 0.3, 0.8, 0.4],
        "references": [1, 0, 1, 0],
        "reference_probs": [[0.9, 0.2, 0.8, 0.3], [0.3, 0.8, 0.4, 0.9]],
        "reference_membership": [[1, 0, 1, 0], [0, 1, 0, 1]],
        "population_prob": [0.4, 0.6, 0.5],
        "population_reference_probs": [[0.5, 0.4, 0.6], [0.3, 0.6, 0.5]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
