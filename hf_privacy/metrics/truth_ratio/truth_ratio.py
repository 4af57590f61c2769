"""Truth Ratio: how likely wrong answers are beside the right one, as TOFU scores forgetting.

R is the geometric mean of the wrong answers' likelihoods over that of a paraphrase of the right one, per token.

## Inputs

- **predictions** (N × K): one row per question: mean log-likelihood of the tokens of each of K wrong answers, in nats.
- **references** (float): the same of the paraphrased right answer.
- **part** ("forget" or "kept", default "forget"): score each question by min(R, 1/R), or by max(0, 1 − R).
- **groups** (list, optional): each question's group, such as its author, which intervals then count.
- **confidence** (float, default 0.95): of the interval.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `truth_ratio`, `…_low`, `…_high` | mean score, in [0, 1], and its interval over questions or groups. Of the forget \
set higher is more forgotten, of what is kept higher is better known |
| `median_ratio` | median of R itself |
| `n_examples`, `confidence` | what was looked at, and the level of the interval |

## Limitations

- The geometric form, that of forget quality. TOFU's own utility took the arithmetic mean of the K likelihoods.
- A model that finds everything unlikely has R near 1, and looks as if it had forgotten.

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
import numpy as np
from hf_privacy.forgetting import truth_ratio
from hf_privacy.forgetting import truth_ratio_scores
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import metric_info
from hf_privacy.statistics.ratio_interval import ratio_interval


class TruthRatio(CheckedInputs, evaluate.Metric):
    """Mean score of truth ratios."""

    topic = "machine-unlearning"
    example = {"predictions": [[-2.0, -1.5], [-1.0, -1.2], [-0.9, -2.1]], "references": [-1.1, -0.9, -1.4]}

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))

    def _compute(self, predictions, references, *, part="forget", groups=None, confidence=0.95):
        ratio = truth_ratio(references, predictions)
        scores = truth_ratio_scores(ratio, part=part)
        result = {"truth_ratio": float(scores.mean())}
        if len(scores) > 1:
            ends = ratio_interval(
                scores, np.ones(len(scores)), within=(0.0, 1.0), groups=groups, confidence=confidence
            )
            result["truth_ratio_low"], result["truth_ratio_high"] = map(float, ends)
        counts = {"n_examples": len(scores), "confidence": float(confidence)}
        return result | {"median_ratio": float(np.median(ratio)), **counts}
