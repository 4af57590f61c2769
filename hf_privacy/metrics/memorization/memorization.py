"""Memorization: how much models owe to single training examples: mean, bins, standard error and reliability of the
scores.

Memorization scores of Feldman and Zhang, from reference models: for each example the mean correctness of the models
trained with it less that of the models trained without it. Near 1 is learned by heart, near 0 is given away by the
other examples. Only figures over many examples are returned.

## Inputs

- **predictions** (float): 1 where the target classifies the example correctly and 0 where not, or its probability of
  the true class, in [0, 1]; of a language model the geometric mean of the probabilities of a row's scored tokens, exp
  of the mean log-likelihood.
- **references** (0/1): 1 for a member of the target's training set, 0 for a non-member.
- **reference_correct** (K × N): the same as predictions of K reference models on the same examples. Probabilities give
  less noisy scores than 0/1.
- **reference_membership** (K × N, 0/1): 1 where the reference model was trained on the example; every example needs
  reference models on both sides.
- **edges**: of the memorization bins (default 0.1, 0.25, 0.5, 0.75).
- **wanted**: the reliability that `n_references_needed` is for (default 0.9). **seed**: of the random halves.

## Output

A dict of plain Python numbers; `bins` is a list of dicts.

| key | meaning |
|---|---|
| `mean_memorization` | mean score, in [−1, 1] |
| `share_above_0.25`, `share_above_0.5` | share of the examples with a score at or above |
| `mean_standard_error` | of a score, by the chance of the reference models; left out where an example has fewer than \
two a side |
| `reliability`, `n_references_needed` | share of the scores' variance that is not chance (split halves, \
Spearman–Brown), and how many reference models would bring it to `wanted`; left out where they cannot be had |
| `member_correct`, `nonmember_correct` | the target's mean correctness on its members and on its non-members |
| `bins` | per bin `memorization_from`, `memorization_to`, `n_examples`, and the counts and the target's correctness \
on its members and non-members there |
| `n_members`, `n_nonmembers`, `n_examples`, `n_references` | how many examples and reference models were seen |

## Limitations

- With few reference models a score is mostly noise: read `reliability` first. The mean over examples is sound long
  before.
- Scores speak of the recipe the reference models share, not of the target alone; the gap between `member_correct` and
  `nonmember_correct` within a bin is the target's own.
- Rows of one author that are in or out of a reference model together are not memorized apart: for whole groups use
  `hf_privacy.memorization.group_memorization`.
- Correctness sees what changes the decision. An example may leak through its confidence with a score of 0.

## Citation

```bibtex
@inproceedings{feldman2020what,
  title={What Neural Networks Memorize and Why: Discovering the Long Tail via Influence Estimation},
  author={Feldman, Vitaly and Zhang, Chiyuan},
  booktitle={Advances in Neural Information Processing Systems},
  year={2020}
}
```
"""

from __future__ import annotations

import evaluate
import numpy as np
from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError
from hf_privacy.memorization import BIN_EDGES
from hf_privacy.memorization import feldman_zhang
from hf_privacy.memorization import memorization_bin
from hf_privacy.memorization import summarize_memorization
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import metric_info
from hf_privacy.metrics import zero_one


class Memorization(CheckedInputs, evaluate.Metric):
    """Summary of the scores, and the target's correctness by bin."""

    topic = "memorization"
    example = {
        "predictions": [1, 0, 1, 1],
        "references": [1, 0, 1, 0],
        "reference_correct": [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 1, 1]],
        "reference_membership": [[1, 1, 1, 0], [1, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]],
        "edges": [0.25, 0.75],
    }

    def _info(self):
        return metric_info(__doc__)

    def _compute(
        self,
        predictions,
        references,
        *,
        reference_correct,
        reference_membership,
        edges=BIN_EDGES,
        wanted=0.9,
        seed=0,
    ):
        correct = real_array("predictions", predictions).astype(np.float64, copy=False)
        if not (correct.min() >= 0.0 and correct.max() <= 1.0):  # a NaN fails too
            raise InputError(
                f"predictions reach from {correct.min():.4g} to {correct.max():.4g}: pass 0 and 1, or "
                "probabilities of the true class"
            )
        membership = zero_one("references", references)
        tables = (reference_correct, zero_one("reference_membership", reference_membership))
        scores = feldman_zhang(*tables)
        if len(scores) != len(correct):
            raise InputError(
                f"predictions have {len(correct):,} examples and reference_correct {len(scores):,}: pass the same "
                "examples in both"
            )
        summary = summarize_memorization(*tables, edges=edges, wanted=wanted, seed=seed)
        place = memorization_bin(scores, edges=edges)
        for number, part in enumerate(summary["bins"]):
            part.update(_target(correct, membership, place == number))
        return {**summary, **_target(correct, membership, np.ones(len(scores), dtype=bool))}


def _target(correct, membership, inside):
    """Numbers of members and non-members, and the target's mean correctness on each where there are any."""
    figures = {}
    for name, chosen in (("member", inside & membership), ("nonmember", inside & ~membership)):
        figures[f"n_{name}s"] = int(np.count_nonzero(chosen))
        if chosen.any():
            figures[f"{name}_correct"] = float(correct[chosen].mean())
    return figures
