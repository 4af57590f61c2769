"""KLoM: KL divergence between margins of unlearned and of retrained models, example by example, with the null value.

KL(unlearned ‖ retrained) of each example's margins, from histograms of 20 bins over their joint range. Take it on the
forget set, the retain set and test examples apart. The null, the same between two halves of the retrained models, is
the value of a perfect unlearner and well above 0.

## Inputs

- **predictions** (N × K): one row per example: its margin logit_y − logsumexp of the other logits under each of K
  unlearned models.
- **references** (N × L): the same of L ≥ 4 retrained models.
- **n_bins** (int, default 20), **clip** (default −100, 100), **floor** (float, default 1e-5): of the histograms;
  margins beyond the clip count as its ends, and the floor is the least share of retrained models in a bin that holds
  unlearned ones.
- **n_splits** (int, default 10), **seed** (int, default 0): random halves of the retrained models for the null.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `klom_mean`, `klom_percentile_95`, `klom_median` | over examples, in nats, of all models |
| `null_mean`, `null_percentile_95` | between two halves of the retrained models, averaged over the splits: **what a \
perfect unlearner gets** |
| `matched_mean`, `matched_percentile_95` | of as many unlearned models against the other half: compare these with \
the null |
| `n_examples`, `n_unlearned`, `n_retrained`, `n_matched`, `n_bins` | how many examples, models and bins |

## Limitations

- It falls as models are added, since empty bins cost most: compare at equal numbers only. The paper uses 100 a side.
- It is bounded by −ln(floor), 11.5 by default.

## Citation

```bibtex
@article{georgiev2024attribute,
  title={Attribute-to-Delete: Machine Unlearning via Datamodel Matching},
  author={Georgiev, Kristian and Rinberg, Roy and Park, Sung Min and Garg, Shivam and Ilyas, Andrew and
    Madry, Aleksander and Neel, Seth},
  journal={arXiv preprint arXiv:2410.23232},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.forgetting import klom
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import by_model
from hf_privacy.metrics import metric_info


class KLoM(CheckedInputs, evaluate.Metric):
    """KLoM and the values that retraining itself gets."""

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

    def _compute(self, predictions, references, *, n_bins=20, clip=(-100.0, 100.0), floor=1e-5, n_splits=10, seed=0):
        return klom(
            by_model("predictions", predictions),
            by_model("references", references),
            n_bins=n_bins,
            clip=tuple(clip),
            floor=floor,
            n_splits=n_splits,
            seed=seed,
        )
