"""Verbatim Memorization: what greedy decoding gives back of texts: share of tokens, and extraction strength.

Exact memorization is the share of a text's tokens that are the likeliest, each given all of the text before it.
Extraction strength is 1 − k/n, with k the shortest prefix after which all the rest is given.

## Inputs

- **predictions** (rows of 0/1): one row per text, of any length: 1 for each scored token that is the likeliest.
- **references** (int): each text's group, such as its author, which intervals count; a number of its own for each text
  where texts stand for themselves.
- **confidence** (float, default 0.95): of the intervals.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `exact_memorization`, `…_low`, `…_high` | mean over texts, in [0, 1], and its interval over groups |
| `extraction_strength`, `…_low`, `…_high` | the same; 0 for a text whose last token does not come |
| `n_examples`, `n_groups`, `confidence` | what was looked at, and the level of the intervals |

## Limitations

- Word for word alone; what the model knew before training counts too: compute the same for the base model.
- Extraction strength counts the end of a text: a model that never ends one has 0.

## Citation

```bibtex
@article{wang2024effective,
  title={Towards Effective Evaluations and Comparisons for LLM Unlearning Methods},
  author={Wang, Qizhou and others},
  journal={arXiv preprint arXiv:2406.09179},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
import numpy as np
from hf_privacy.errors import InputError
from hf_privacy.forgetting import exact_memorization
from hf_privacy.forgetting import extraction_strength
from hf_privacy.metrics import TokenAttackMetric
from hf_privacy.metrics.values import flat_rows
from hf_privacy.metrics import metric_info
from hf_privacy.statistics.ratio_interval import ratio_interval


class VerbatimMemorization(TokenAttackMetric, evaluate.Metric):
    """Exact memorization and extraction strength, by group."""

    topic = "memorization"
    attack = exact_memorization
    example = {"predictions": [[1, 1, 1], [0, 1, 1, 1], [1, 0]], "references": [0, 1, 2]}

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))

    def _compute(self, predictions, references, *, confidence=0.95):
        flat, offsets = flat_rows("predictions", predictions)
        if not np.isin(flat, (0.0, 1.0)).all():
            raise InputError("predictions must hold 0 and 1 alone: whether each token is the likeliest")
        groups, result = np.asarray(references), {}
        for figure in (exact_memorization, extraction_strength):
            values, name = figure(flat == 1, offsets), figure.__name__
            result[name] = float(values.mean())
            if len(np.unique(groups)) > 1:
                ones = np.ones(len(values))
                ends = ratio_interval(values, ones, within=(0.0, 1.0), groups=groups, confidence=confidence)
                result[f"{name}_low"], result[f"{name}_high"] = map(float, ends)
        return result | {
            "n_examples": len(offsets) - 1,
            "n_groups": len(np.unique(groups)),
            "confidence": float(confidence),
        }
