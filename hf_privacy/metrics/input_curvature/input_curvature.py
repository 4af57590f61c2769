"""Input Curvature: membership inference by the loss's curvature around an example: AUC and TPR at low FPR with
intervals.

Membership inference by input-loss curvature: the logarithm of the curvature of the target's loss around each example,
against a Gaussian of the same under reference models trained with the example and one of those trained without it.

## Inputs

- **predictions** (float): log of the target's input-loss curvature at each example and its **true** label, such as the
  log of `squared_norm` or `zero_order` of `hf_privacy.signals.input_curvature`. Finite: put a floor under zero. Of a
  language model one a row: of its summed loss in the embeddings of its scored tokens, per coordinate.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_log_curvature** (K × N): the same of K reference models, by the same estimator.
- **reference_membership** (K × N, 0/1): 1 where the reference model was trained on the example.
- **form**: `"likelihood_ratio"` (default; each side its own scale) or `"nll"` (the scale of the reference models
  trained with the example on both sides).
- **variance**: `"pooled"` (default), `"per_example"` (the paper's, with 64 reference models), `"shrunk"` (pooled as a
  prior that counts for **prior_degrees** observations, default 8) or `"global"` (the one that two reference models
  allow).
{fprs_and_confidence}

## Output

{attack_output}

## Limitations

{attack_limitations}
- Estimate the curvature in the same way, with the same directions, for the target and for all reference models.
- One curvature per example; for several queries use `hf_privacy.attacks.curvature` itself.

## Citation

```bibtex
@inproceedings{ravikumar2024curvature,
  title={Curvature Clues: Decoding Deep Learning Privacy with Input Loss Curvature},
  author={Ravikumar, Deepak and Soufleri, Efstathia and Roy, Kaushik},
  booktitle={Advances in Neural Information Processing Systems},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.attacks import curvature
from hf_privacy.metrics import AttackMetric
from hf_privacy.metrics import metric_info


class InputCurvature(AttackMetric, evaluate.Metric):
    """Summary of the curvature attack's scores."""

    attack = staticmethod(curvature)
    example = {
        "predictions": [-3.0, -0.5, -2.0, -0.2],
        "references": [1, 0, 1, 0],
        "reference_log_curvature": [
            [-2.0, 0.0, -2.2, -1.1],
            [-4.0, -1.0, -3.0, -0.4],
            [0.0, -3.0, -0.1, -2.5],
            [-1.0, -5.0, -0.5, -1.9],
        ],
        "reference_membership": [[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1]],
        "fprs": [0.5],
    }

    def _info(self):
        return metric_info(__doc__)
