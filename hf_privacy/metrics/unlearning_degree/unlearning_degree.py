"""Unlearning Degree: how much accuracy on the perturbed forget set unlearning takes away, beside the most that
retraining takes.

Acc_before(D̃_u) − Acc_after(D̃_u) on a forget set D̃_u that was slightly perturbed before training, so that a model
that never saw it does badly on it. On plain forget data a good model is right whether it forgot or not.

## Inputs

- **predictions** (0/1): 1 where the model is right on the perturbed forget example **after** unlearning.
- **references** (0/1): the same **before** unlearning.
- **retrained** (N 0/1, or R rows of them, optional): the same of models retrained without the forget set.
- **confidence** (float, default 0.95): of every interval.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `unlearning_degree`, `…_low`, `…_high` | accuracy before less accuracy after, with its interval over the choice of \
examples (Bonett–Price, paired) |
| `accuracy_before`, `accuracy_after` | the two accuracies |
| `ceiling`, `ceiling_low`, `ceiling_high` | with `retrained`: accuracy before less that of retraining, with an \
interval over the models (over the examples, if it is one) |
| `share_of_ceiling`, `n_retrained` | the degree over the ceiling, left out where the ceiling is not above 0; how \
many models |
| `n_examples`, `confidence` | how many examples were seen, and the level of the intervals |

## Limitations

- A ceiling near 0 says that the perturbation was too small: the degree then tells nothing.
- More than the ceiling is over-forgetting, not better forgetting.
- The interval covers the choice of examples, not the chance of training.

## Citation

```bibtex
@article{zuo2025machine,
  title={Machine Unlearning through Fine-Grained Model Parameters Perturbation},
  author={Zuo, Zhiwei and Tang, Zhuo and Li, Kenli and Datta, Anwitaman},
  journal={IEEE Transactions on Knowledge and Data Engineering},
  year={2025}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.forgetting import unlearning_degree
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import named_figures


class UnlearningDegree(CheckedInputs, evaluate.Metric):
    """Unlearning degree with its ceiling."""

    topic = "machine-unlearning"
    example = {
        "predictions": [1, 0, 0, 1, 0, 1],
        "references": [1, 1, 1, 1, 1, 0],
        "retrained": [[1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]],
    }

    def _info(self):
        return metric_info(__doc__)

    def _compute(self, predictions, references, *, retrained=None, confidence=0.95):
        result = unlearning_degree(references, predictions, retrained, confidence=confidence)
        return named_figures(result, "unlearning_degree")
