"""Membership Inference: how well scores tell training examples from others: AUC and TPR at low FPR with confidence
intervals.

How well a membership score, whatever attack it comes from, tells the examples a model was trained on from others.

## Inputs

- **predictions** (float): one membership score per example, *higher* for likelier members (a loss needs its sign
  turned).
- **references** (0/1): 1 for a member, 0 for a non-member. The two may differ in number.
{fprs_and_confidence}
- **groups** (N, optional): class or memorization bin of each example; each group of at least **min_examples** (default
  30) members and non-members is summarized by itself.
- **n_resamples** (default 0): bootstrap intervals beside the others, from so many resamples (1000 is usual); **seed**
  of the draw.

## Output

{attack_output}
| `<figure>_bootstrap_low`, `…_high` | with `n_resamples`: bootstrap intervals of AUC, balanced accuracy and the TPRs |
| `groups` | with `groups`: the same dict for each group, or its numbers and a `reason` where it is too small |

## Limitations

{attack_limitations}
- Groups each have a threshold of their own, and the highest of many groups is high by chance alone.
- A bootstrap interval of a perfect or a constant score has no width; the other intervals hold there too.

## Citation

```bibtex
@inproceedings{carlini2022membership,
  title={Membership Inference Attacks From First Principles},
  author={Carlini, Nicholas and Chien, Steve and Nasr, Milad and Song, Shuang and Terzis, Andreas and
    Tram{\\`e}r, Florian},
  booktitle={IEEE Symposium on Security and Privacy},
  year={2022}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import flatten_summary
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import zero_one
from hf_privacy.statistics import bootstrap_interval
from hf_privacy.statistics import summarize_slices


class MembershipInference(CheckedInputs, evaluate.Metric):
    """Summary of membership scores."""

    example = {
        "predictions": [2.1, 1.7, 0.4, 0.9, -0.3, -1.2],
        "references": [1, 1, 1, 0, 0, 0],
        "fprs": [0.34],
    }

    def _info(self):
        return metric_info(__doc__)

    def _compute(
        self,
        predictions,
        references,
        *,
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
        groups=None,
        min_examples=30,
        n_resamples=0,
        seed=0,
    ):
        membership = zero_one("references", references)
        result = attack_summary(predictions, membership, fprs=fprs, confidence=confidence)
        if n_resamples:
            settings = {"n_resamples": n_resamples, "confidence": confidence, "seed": seed}
            wanted = {"auc": {"statistic": "auc"}, "balanced_accuracy": {"statistic": "balanced_accuracy"}}
            wanted |= {f"tpr_at_fpr_{fpr:g}": {"statistic": "tpr_at_fpr", "fpr": fpr} for fpr in fprs}
            for name, statistic in wanted.items():
                if name in result:  # a rate that the non-members cannot resolve has no interval either
                    low, high = bootstrap_interval(predictions, membership, **statistic, **settings)
                    result |= {f"{name}_bootstrap_low": low, f"{name}_bootstrap_high": high}
        if groups is not None:
            slices = summarize_slices(
                predictions, membership, groups, fprs=fprs, confidence=confidence, min_examples=min_examples
            )
            result["groups"] = {str(group): flatten_summary(summary) for group, summary in slices.items()}
        return result
