"""U-LiRA: whether unlearned examples can be told from never-seen ones, example by example: AUC and TPR at low FPR.

For each forget example: is φ of this model likelier under models that were trained on it and unlearned it, or under
models that never saw it? One model of each kind is left out at a time and judged by Gaussians of all the others. An
AUC of 0.5 is what retraining itself gets.

## Inputs

- **predictions** (N × K): one row per forget example: φ = logit_y − logsumexp of the other logits under each of K ≥ 4
  unlearned models. Not correctness.
- **references** (N × L): φ of L ≥ 4 models that never saw the example, such as retrained ones.
- **variance**: `"pooled"` (default), `"per_example"` (wants dozens of models) or `"shrunk"` (pooled as a prior that
  counts for **prior_degrees** observations, default 8).
- **fprs** (default 0.01), **confidence** (default 0.95): as in `membership_inference`.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `auc`, `auc_low`, `auc_high` | mean over pairs of held-out models of the area under the ROC curve, with its \
interval (the wider of DeLong's and a jackknife over the models) |
| `tpr_at_fpr_<x>`, `…_low`, `…_high` | share of unlearned examples found at a threshold that never-seen ones pass \
with probability **not above** x, with its interval (the wider of that of order statistics, which covers the chance \
in the threshold, and the jackknife); `…_conditional_low`, `…_conditional_high` take threshold and models as they are \
|
| `balanced_accuracy`, `advantage` | largest (TPR + 1 − FPR)/2 and largest TPR − FPR over all thresholds, found in \
hindsight |
| `n_members`, `n_nonmembers` | scores of unlearned and of never-seen models: pairs × examples |
| `n_pairs`, `n_examples`, `confidence` | pairs of models, forget examples, and the level of the intervals |

## Limitations

- Wants many models (16 a side at least); with few of them the attack is weak and a value near 0.5 says little.
- Unlearned and never-seen models must come from one recipe, or the attack tells the recipes apart.
- Variances have a floor, so that models that agree give a large score and never a NaN.

## Citation

```bibtex
@article{hayes2024inexact,
  title={Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense of Privacy},
  author={Hayes, Jamie and Shumailov, Ilia and Triantafillou, Eleni and Khalifa, Amr and Papernot, Nicolas},
  journal={arXiv preprint arXiv:2403.01218},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.forgetting import u_lira
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import by_model
from hf_privacy.metrics import flatten_summary
from hf_privacy.metrics import metric_info


class ULira(CheckedInputs, evaluate.Metric):
    """Summary of U-LiRA's scores of held-out models."""

    topic = "machine-unlearning"
    example = {
        "predictions": [
            [4.1, 3.1, 2.6, 4.1],
            [0.2, -1.4, -1.1, 0.8],
            [0.0, 0.1, 3.0, -0.9],
            [3.5, 0.7, 2.1, 4.2],
            [1.2, -0.9, -0.5, 0.1],
            [0.6, 2.5, 4.1, 0.5],
        ],
        "references": [
            [-0.1, 2.2, 1.8, 3.7],
            [-3.0, -2.9, -3.0, -3.8],
            [-0.7, -2.7, -0.2, -1.4],
            [1.2, 0.1, -0.2, 2.5],
            [-1.5, -0.8, -1.8, 0.6],
            [0.3, -1.1, 0.7, 0.3],
        ],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions", "references"))

    def _compute(
        self, predictions, references, *, variance="pooled", prior_degrees=8.0, fprs=(0.01,), confidence=0.95
    ):
        result = u_lira(
            by_model("predictions", predictions),
            by_model("references", references),
            variance=variance,
            prior_degrees=prior_degrees,
            fprs=fprs,
            confidence=confidence,
        )
        return flatten_summary(result.summary)
