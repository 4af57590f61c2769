"""TOFU Utility: what a model still knows that it was to keep: the harmonic mean of nine figures.

Of retained rows, real authors and world facts each the mean probability of the answer, the mean ROUGE-L recall of the
generated one, and the mean of max(0, 1 − truth ratio).

## Inputs

- **predictions** (N × 3): one row per question: probability of its answer (of real authors and world facts its share
  beside the wrong answers), ROUGE-L recall, truth ratio.
- **references** (0/1/2): the question's set: 0 for retained rows, 1 for real authors, 2 for world facts.
- **confidence** (float, default 0.95): of every interval.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `utility` | harmonic mean of the nine, in [0, 1]; 0 as soon as one of them is |
| `<set>_<figure>` | of each set (retain, real_authors, world_facts) and figure (probability, rouge, truth_ratio) |
| `<set>_<figure>_low`, `…_high` | interval of that mean, over questions |
| `n_examples` | questions |

## Limitations

- A harmonic mean follows its smallest part: one figure near 0 hides what became of the other eight.
- ROUGE of answers cut at a number of tokens, or without stems, is not to be set beside published figures.

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
from hf_privacy.arrays import finite_array
from hf_privacy.errors import InputError
from hf_privacy.forgetting import tofu_utility
from hf_privacy.forgetting import truth_ratio_scores
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import metric_info
from hf_privacy.statistics.ratio_interval import ratio_interval

SETS = ("retain", "real_authors", "world_facts")
FIGURES = ("probability", "rouge", "truth_ratio")


class TofuUtility(CheckedInputs, evaluate.Metric):
    """Harmonic mean of nine figures of what is to be kept."""

    topic = "machine-unlearning"
    example = {
        "predictions": [
            [0.8, 0.7, 0.6],
            [0.9, 0.6, 0.5],
            [0.4, 0.8, 0.7],
            [0.5, 0.9, 0.8],
            [0.4, 0.8, 0.6],
            [0.6, 0.7, 0.9],
        ],
        "references": [0, 0, 1, 1, 2, 2],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))

    def _compute(self, predictions, references, *, confidence=0.95):
        table, of_set = finite_array("predictions", predictions), np.asarray(references)
        if table.ndim != 2 or table.shape[1] != len(FIGURES):
            raise InputError(f"predictions has shape {table.shape}: pass probability, ROUGE and truth ratio per row")
        if not np.isin(of_set, (0, 1, 2)).all() or len(np.unique(of_set)) != len(SETS):
            raise InputError("references must hold 0, 1 and 2: retained rows, real authors, world facts")
        table = table.copy()
        table[:, 2] = truth_ratio_scores(table[:, 2], part="kept")
        result = {}
        for number, name in enumerate(SETS):
            rows = table[of_set == number]
            for figure, values in zip(FIGURES, rows.T, strict=True):
                result[f"{name}_{figure}"] = float(values.mean())
                if len(values) > 1:
                    ends = ratio_interval(values, np.ones(len(values)), within=(0.0, 1.0), confidence=confidence)
                    result[f"{name}_{figure}_low"], result[f"{name}_{figure}_high"] = map(float, ends)
        means = {figure: [result[f"{name}_{figure}"] for name in SETS] for figure in FIGURES}
        return {"utility": tofu_utility(**means), **result, "n_examples": len(table)}
