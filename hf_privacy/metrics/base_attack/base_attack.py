"""BASE: membership inference by the probability beside its mean under reference models: AUC and TPR at low FPR with
intervals.

Membership inference by BASE (Bayes-optimal approximation): log p_y under the target, less the log of the mean p_y
under the reference models. It is RMIA without a population, and does well with few reference models.

## Inputs

- **predictions** (float ≤ 0): the target's log-probability of the true class (minus the cross-entropy loss).
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_log_probs** (K × N): the same under K reference models.
- **mode**: `"all"` (default; the mean over all reference models), `"balanced"` (half over those trained with the
  example, half over those without) or `"offline"` (those without), which need
- **reference_membership** (K × N, 0/1): 1 where the reference model was trained on the example.
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- The reference models must be trained as the target was.

## Citation

```bibtex
@inproceedings{lassila2025practical,
  title={Practical Bayes-Optimal Membership Inference Attacks},
  author={Lassila, Marcus and {\\"O}stman, Johan and Ngo, Khac-Hoang and Graell i Amat, Alexandre},
  booktitle={Advances in Neural Information Processing Systems},
  year={2025}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import base
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import zero_one


class BaseAttack(CheckedInputs, evaluate.Metric):
    """Summary of BASE's scores."""

    example = {
        "predictions": [-0.1, -0.9, -0.2, -2.1],
        "references": [1, 0, 1, 0],
        "reference_log_probs": [[-0.2, -1.1, -0.1, -1.9], [-0.8, -0.3, -0.9, -0.6]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)

    def _compute(
        self,
        predictions,
        references,
        *,
        reference_log_probs,
        reference_membership=None,
        mode="all",
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
    ):
        if reference_membership is not None:
            reference_membership = zero_one("reference_membership", reference_membership)
        scores = base(predictions, reference_log_probs, reference_membership=reference_membership, mode=mode)
        return attack_summary(scores, references, fprs=fprs, confidence=confidence)
