"""TOFU Forget Quality: how far truth ratios on the forget set are from a retrained model's, and what noise is.

The two-sided Kolmogorov–Smirnov statistic between the truth ratios of an unlearned and of a retrained model, its
p-value (the published figure), and the same between pairs of retrained models: what a perfect unlearner gets.

## Inputs

- **predictions** (N × K): one row per forget example: its truth ratio under each of K unlearned models.
- **references** (N × L): the same under L ≥ 3 models retrained without the forget set, from different seeds.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `statistic`, `statistic_min`, `statistic_max` | distance of the two distribution functions, in [0, 1]: mean, \
least and largest over pairs of an unlearned and a retrained model |
| `p_value`, `floor` | median over the pairs, exact; and the least it can be with N examples |
| `null`, `null_min`, `null_max`, `null_p_value` | the same between pairs of retrained models |
| `beyond_null` | share of pairs whose statistic is above the largest of the null |
| `n_examples`, `n_unlearned`, `n_retrained` | what was compared |

## Limitations

- A p-value above 0.05 proves no forgetting: with 40 examples a shift of 0.3 standard deviations is seen in 17 % of
  draws. Models that do not overlap at all get the floor, however far apart they are.
- A model that answers nothing right can have a retrained model's truth ratios: see its utility beside it.

## Citation

```bibtex
@inproceedings{maini2024tofu,
  title={TOFU: A Task of Fictitious Unlearning for LLMs},
  author={Maini, Pratyush and Feng, Zhili and Schwarzschild, Avi and Lipton, Zachary C. and Kolter, J. Zico},
  booktitle={Conference on Language Modeling},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.forgetting import tofu_forget_quality
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import by_model
from hf_privacy.metrics import metric_info


class TofuForgetQuality(CheckedInputs, evaluate.Metric):
    """Forget quality with its null."""

    topic = "machine-unlearning"
    example = {
        "predictions": [[0.9], [1.1], [0.7], [1.6], [0.8]],
        "references": [[0.8, 0.9, 0.7], [1.2, 0.9, 1.3], [0.6, 0.8, 0.7], [1.4, 1.5, 1.1], [0.9, 0.7, 1.0]],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions", "references"))

    def _compute(self, predictions, references):
        return tofu_forget_quality(by_model("predictions", predictions), by_model("references", references))
