"""Extraction: what share of training texts a model gives back within so many samples, less that of held-out texts.

A text is (n, p)-discoverably extractable if n samples of its rest give it word for word at least once with probability
p: 1 − (1 − p_z)ⁿ ≥ p, with p_z the probability of the rest under the sampling scheme. All is computed from log p_z,
so that long texts do not underflow. Held-out texts tell what a model gives back because it is easy, not because it was
trained on it.

## Inputs

- **predictions** (float): log p_z of each text: the sum of the log-probabilities of its tokens after the prefix, under
  the sampling scheme (temperature, top-k, top-p); at most 0.
- **references** (0/1): 1 for a text that was trained on, 0 for one held out from the same distribution.
- **n** (float, default 1000): samples.
- **p** (float in (0, 1), default 0.5): the probability with which the text must come.
- **confidence** (float, default 0.95): of every interval.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `members`, `members_low`, `members_high` | share of the training texts extracted (Clopper–Pearson) |
| `nonmembers`, `…_low`, `…_high` | the same of the held-out texts |
| `leakage`, `…_low`, `…_high` | the first less the second (Newcombe) |
| `n_members`, `n_nonmembers`, `n`, `p`, `confidence` | what was looked at, and how |

## Limitations

- Word for word alone: a near copy does not count.
- What the model knew before fine-tuning counts too: compute the same for the base model and compare.
- The intervals cover the choice of texts, taken as independent, not the chance of training.

## Citation

```bibtex
@article{hayes2024measuring,
  title={Measuring memorization in language models via probabilistic extraction},
  author={Hayes, Jamie and others},
  journal={arXiv preprint arXiv:2410.19482},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
import numpy as np
from hf_privacy.attacks import extraction
from hf_privacy.errors import InputError
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import zero_one
from hf_privacy.statistics import clopper_pearson
from hf_privacy.statistics import rate_difference


class Extraction(CheckedInputs, evaluate.Metric):
    """(n, p)-discoverable extraction of members and non-members."""

    topic = "memorization"
    example = {"predictions": [-0.1, -2.0, -30.0, -40.0, -25.0], "references": [1, 1, 1, 0, 0], "n": 100}

    def _info(self):
        return metric_info(__doc__)

    def _compute(self, predictions, references, *, n=1000, p=0.5, confidence=0.95):
        membership = zero_one("references", references)
        if membership.all() or not membership.any():
            raise InputError("references holds 1 alone or 0 alone: extraction is told beside that of held-out texts")
        extracted = extraction(predictions, np.arange(len(membership) + 1), n=n, p=p)
        counts = [(int(extracted[side].sum()), int(side.sum())) for side in (membership, ~membership)]
        result = {}
        for name, (k, trials) in zip(("members", "nonmembers"), counts, strict=True):
            result[name] = k / trials
            result[f"{name}_low"], result[f"{name}_high"] = clopper_pearson(k, trials, confidence=confidence)
        ends = rate_difference(*counts[0], *counts[1], confidence=confidence)
        result["leakage"], result["leakage_low"], result["leakage_high"] = ends
        return result | {
            "n_members": counts[0][1],
            "n_nonmembers": counts[1][1],
            "n": n,
            "p": p,
            "confidence": float(confidence),
        }
