"""Blind Baseline: whether members and non-members can be told apart without the model: AUC and TPR at low FPR with
intervals.

A classifier that sees the inputs and never the model, scored on examples it was not fitted on. Where it tells members
from non-members, they differ by distribution: a leaky split, which any attack on any model would read as a leaky
model.

## Inputs

- **predictions** (N × D): what the classifier sees of each example: pixels, an embedding of the text, metadata;
  nothing that comes from the model.
- **references** (0/1): 1 for a member, 0 for a non-member.
- **n_folds** (default 5): parts that are scored one after another, none by a classifier fitted on it; each needs 5
  members and 5 non-members.
- **classifier**: `"logistic"` (default), `"gradient_boosting"` or `"random_forest"`; **n_components** (default 50)
  that more columns are projected on, **max_rows** (default 20,000) to fit on, **seed** of the folds and the fit.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

- An AUC whose interval holds 0.5 says that *this* classifier found no difference on *these* features, not that there
  is none.
- It says nothing of any model. The intervals cover the choice of examples.

## Citation

```bibtex
@article{das2024blind,
  title={Blind Baselines Beat Membership Inference Attacks for Foundation Models},
  author={Das, Debeshee and Zhang, Jie and Tram{\\`e}r, Florian},
  journal={arXiv preprint arXiv:2406.16201},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import blind_baseline
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import zero_one


class BlindBaseline(CheckedInputs, evaluate.Metric):
    """Summary of the blind classifier's scores."""

    example = {
        "predictions": [[i] for i in range(60)],
        "references": [0] * 30 + [1] * 30,
        "n_folds": 2,
        "fprs": [0.1],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))

    def _compute(
        self,
        predictions,
        references,
        *,
        n_folds=5,
        classifier="logistic",
        n_components=50,
        max_rows=20_000,
        seed=0,
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
    ):
        membership = zero_one("references", references)
        scores = blind_baseline(
            predictions,
            membership,
            n_folds=n_folds,
            classifier=classifier,
            n_components=n_components,
            max_rows=max_rows,
            seed=seed,
        )
        return attack_summary(scores, membership, fprs=fprs, confidence=confidence)
