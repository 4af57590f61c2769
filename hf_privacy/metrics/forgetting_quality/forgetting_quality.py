"""Forgetting Quality: the NeurIPS 2023 unlearning score: how little outputs tell unlearned from retrained models, with
the null value.

For each forget example an ε, the most that any threshold on the output finds between unlearned and retrained models,
max{ln(1 − δ − FPR) − ln FNR, ln(1 − δ − FNR) − ln FPR}. FPR = FNR = 0 counts as infinite, and an attack with one of
them 0 is discarded, as in the competition's code. F is the mean of 2^−⌊ε/0.5⌋ (2^−12 at the least). The null, F
between two halves of the retrained models, is the value of a perfect unlearner and far below 1.

## Inputs

- **predictions** (N × K): one row per forget example: an output, such as φ, of each of K unlearned models.
- **references** (N × L): the same of L ≥ 4 retrained models.
- **attacks**: `"one_sided"` (default: one threshold, either side) or `"two_sided"` (also between or outside two).
- **delta** (float, default 0.01).
- **n_splits** (int, default 10), **seed** (int, default 0): random halves of the retrained models for the null.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `forgetting_quality` | F, the published figure |
| `null`, `null_min`, `null_max` | F between two halves of the retrained models, a mean over the splits: **what a \
perfect unlearner gets** |
| `matched`, `share_of_null` | F of as many unlearned models against the other half, and its ratio to the null: about \
1 for a perfect unlearner |
| `median_epsilon`, `share_told_apart` | median ε (counted up to 6) and the share of examples that an attack tells \
apart without error |
| `delta`, `n_examples`, `n_unlearned`, `n_retrained`, `n_matched` | settings, and how many examples and models were \
seen |

## Limitations

- F depends on the number of models, and not in one direction: compare `matched` with `null`, and values of F at equal
  numbers only.
- ε is the best of many thresholds on the models it is counted on: an estimate in hindsight, no lower bound.
- The competition used 512 models a side. With a handful most attacks are discarded.

## Citation

```bibtex
@article{triantafillou2024are,
  title={Are We Making Progress in Unlearning? Findings from the First NeurIPS Unlearning Competition},
  author={Triantafillou, Eleni and Kairouz, Peter and Pedregosa, Fabian and Hayes, Jamie and others},
  journal={arXiv preprint arXiv:2406.09073},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.forgetting import forgetting_quality
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import by_model
from hf_privacy.metrics import metric_info


class ForgettingQuality(CheckedInputs, evaluate.Metric):
    """F and the value that retraining itself gets."""

    topic = "machine-unlearning"
    example = {
        "predictions": [
            [0.6, 2.8, 3.9, 3.7],
            [-2.1, -3.0, -1.3, -2.9],
            [0.9, -0.7, -1.3, -1.0],
            [0.9, 1.1, 1.0, 1.3],
            [-0.8, -0.4, -2.1, -2.0],
            [0.5, 1.0, 1.0, -1.1],
        ],
        "references": [
            [3.6, 1.0, 3.7, 0.5, 0.9, 1.6, 1.7, 1.1],
            [-2.1, -4.6, -1.7, -3.6, -1.5, -3.2, -4.2, -2.4],
            [0.8, -1.5, -1.3, -1.8, -2.3, -2.2, -2.7, -2.8],
            [0.8, 2.3, 1.2, 1.2, 0.9, -0.2, 0.9, 0.3],
            [-1.1, -0.8, -0.7, -1.6, -1.0, -2.7, -2.1, -2.2],
            [-1.0, -1.1, -1.0, -0.6, -2.0, 1.9, 0.1, -0.1],
        ],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions", "references"))

    def _compute(self, predictions, references, *, attacks="one_sided", delta=0.01, n_splits=10, seed=0):
        result = forgetting_quality(
            by_model("predictions", predictions),
            by_model("references", references),
            attacks=attacks,
            delta=delta,
            n_splits=n_splits,
            seed=seed,
        )
        return {key: value for key, value in result.items() if key != "attacks"}
