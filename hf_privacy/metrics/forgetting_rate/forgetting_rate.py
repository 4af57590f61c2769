"""Forgetting Rate: what share of the forget set's accuracy (or membership) unlearning took away, beside that of a
retrained model.

Share of what held for the forget set before unlearning (answers that are right, or examples judged members) that no
longer holds after it.

Accuracy reading: (Acc_before − Acc_after)/Acc_before on the forget set. Membership reading: (AF − BF)/BT, with BT and
BF the numbers judged members and non-members before, and AF the number judged non-members after. AF − BF = BT − AT, so
it is one formula on two kinds of 0/1; say which.

## Inputs

- **predictions** (0/1): of each forget example **after** unlearning: 1 where the model is right, or where an attack
  judges it a member.
- **references** (0/1): the same **before** unlearning.
- **reading**: `"accuracy"` (default) or `"membership"`: what a 1 says. It changes messages, not the arithmetic.
- **retrained** (N 0/1, or R rows of them, optional): what stands in the place of `predictions` for models retrained
  without the forget set.
- **confidence** (float, default 0.95): of every interval.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `forgetting_rate`, `…_low`, `…_high` | the rate and its interval over the choice of examples (Bonett–Price, paired) |
| `retrained`, `retrained_low`, `retrained_high` | with `retrained`: the mean rate of those models, with an interval \
over the models (over the examples, if it is one) |
| `gap`, `n_retrained` | the rate less that of retraining; how many models |
| `n_before`, `n_after`, `n_examples`, `confidence` | ones before and after, how many examples were seen, and the \
level of the intervals |

## Limitations

- The goal is the retrained model's value: far above it is over-forgetting, which gives membership away.
- Where nothing held before there is no rate: that is refused with a sentence, never a NaN.
- The membership reading needs one attack with one threshold both times; attacks refitted after unlearning are not
  comparable.
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
from hf_privacy.forgetting import summarize_rate
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import named_figures


class ForgettingRate(CheckedInputs, evaluate.Metric):
    """Forgetting Rate with its interval."""

    topic = "machine-unlearning"
    example = {
        "predictions": [1, 0, 0, 0, 1, 0],
        "references": [1, 1, 1, 1, 1, 0],
        "retrained": [[1, 1, 0, 0, 1, 0], [1, 0, 0, 1, 1, 0]],
    }

    def _info(self):
        return metric_info(__doc__)

    def _compute(self, predictions, references, *, reading="accuracy", retrained=None, confidence=0.95):
        result = summarize_rate(
            predictions, references, retrained, rate="forgetting_rate", reading=reading, confidence=confidence
        )
        return named_figures(result, "forgetting_rate")
