"""Exposure: how far up inserted secrets stand among all that could have been in their place, in bits.

The exposure of a canary is log₂ of the number of possible secrets less log₂ of its rank by the model's loss. By
sampling, the rank among n secrets that were not trained on stands for it, and log₂ n is the ceiling; by extrapolation,
a skew-normal fitted to the logarithm of their perplexities, whose fit is tested and refused where it is bad.

## Inputs

- **predictions** (float): loss (sum or mean over the secret tokens) of each canary and of each reference secret.
- **references** (0/1): 1 for a canary, 0 for a secret drawn from the same space that was not trained on.
- **method**: `"sampling"` (default) or `"extrapolation"`.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `exposure` | mean over the canaries, in bits |
| `exposure_median`, `exposure_max` | over the canaries |
| `ceiling` | the largest exposure that so many references can show by sampling: log₂ n |
| `n_canaries`, `n_references` | how many were seen |

## Limitations

- By sampling no exposure above the ceiling can be seen: 1,000 references end at 9.97 bits.
- By extrapolation far beyond the references, the figure is the fit's, not the data's.
- A canary that was not trained on has about 1.4 bits on average, not 0.

## Citation

```bibtex
@inproceedings{carlini2019secret,
  title={The secret sharer: Evaluating and testing unintended memorization in neural networks},
  author={Carlini, Nicholas and Liu, Chang and Erlingsson, {\\'U}lfar and Kos, Jernej and Song, Dawn},
  booktitle={USENIX Security},
  year={2019}
}
```
"""

from __future__ import annotations

import evaluate
import numpy as np
from hf_privacy.arguments import check_choice
from hf_privacy.attacks import exposure_by_extrapolation
from hf_privacy.attacks import exposure_by_sampling
from hf_privacy.attacks import exposure_ceiling
from hf_privacy.errors import InputError
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import zero_one


class Exposure(CheckedInputs, evaluate.Metric):
    """Exposure of canaries."""

    topic = "memorization"
    example = {"predictions": [2.0, 31.5, 30.0, 35.0, 33.0, 41.0], "references": [1, 1, 0, 0, 0, 0]}

    def _info(self):
        return metric_info(__doc__)

    def _compute(self, predictions, references, *, method="sampling"):
        check_choice("method", method, ("sampling", "extrapolation"))
        loss, canary = np.asarray(predictions, dtype=np.float64), zero_one("references", references)
        if canary.all() or not canary.any():
            raise InputError("references holds 1 alone or 0 alone: pass canaries and secrets not trained on")
        measure = exposure_by_sampling if method == "sampling" else exposure_by_extrapolation
        bits = measure(loss[canary], loss[~canary])
        return {
            "exposure": float(bits.mean()),
            "exposure_median": float(np.median(bits)),
            "exposure_max": float(bits.max()),
            "ceiling": exposure_ceiling(int((~canary).sum())),
            "n_canaries": int(canary.sum()),
            "n_references": int((~canary).sum()),
        }
