"""Unlearning Gap: how far UA, RA, TA and MIA efficacy of unlearned models are from retraining, also in units of
retraining's noise.

Unlearning accuracy (UA, 1 − accuracy on the forget set), retain and test accuracy (RA, TA) and the share of the forget
set that a membership attack takes for unseen (MIA). AvgGap is the mean absolute gap of the four between an unlearned
and a retrained model, beside the row that tables leave out: how far one retrained model is from the others. No
unlearner can be expected to come closer.

## Inputs

- **predictions** (N × S, 0/1): one row per example: 1 where each of the S unlearned models (seeds) is right.
- **references** (0/1/2): the set of the example: 0 forget, 1 retain, 2 test.
- **retrained_correct** (N × R, 0/1): the same as `predictions`, of R models retrained without the forget set. Or:
- **retrained_figures** (R dicts): stored logs of them, with `"UA"`, `"RA"`, `"TA"` and, with scores, `"MIA"`, as
  fractions.
- **scores** (N × S, optional): membership scores of the unlearned models, higher for likelier members; without them
  MIA is left out.
- **retrained_scores** (N × R): the same of the retrained models, where `retrained_correct` is given.
- **attack**: of MIA, `"threshold"` (default) or `"logistic"`: fitted on retain against test examples, both sides
  weighing one half.
- **confidence** (float, default 0.95): of every interval.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `avg_gap`, `avg_gap_low`, `avg_gap_high` | mean over the unlearned models of each one's AvgGap to the mean of the \
retrained, with an interval over the models (Student's t, from 2 on) |
| `avg_gap_of_means` | AvgGap between the means of both sides, as published tables have it; smaller, since noise \
averages out |
| `null_avg_gap`, `…_low`, `…_high` | AvgGap of each retrained model to the mean of the others: the \
retrain-vs-retrain row (from 2 retrained models on) |
| `avg_gap_in_noise` | `avg_gap` over `null_avg_gap`, about 1 for an unlearner as good as retraining (from 3 on) |
| `ua`, `ra`, `ta`, `mia` | the figures of the unlearned models; with `…_low`, `…_high`, `…_retrained`, \
`…_retrained_low`, `…_retrained_high`, `…_retrained_std`, `…_gap`, `…_gap_in_noise` |
| `null_ua_gap`, … | mean absolute gap of each figure, retrained against retrained |
| `n_examples`, `n_unlearned`, `n_retrained`, `confidence` | how many examples and models were seen, and the level of \
the intervals |

What cannot be said with so few models, or in units of a noise of 0, is left out.

## Limitations

- A small gap in averages can hide examples that are not forgotten: read it beside `u_lira`.
- MIA is one attack with one threshold for all examples, and depends on it; compare it at equal attack only.
- For a forgotten class the test examples of MIA are those of all classes, and the attack may learn the class: use
  `hf_privacy.forgetting.mia_efficacy` with unseen examples of that class.

## Citation

```bibtex
@inproceedings{fan2024salun,
  title={SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency in Both Image Classification and
    Generation},
  author={Fan, Chongyu and Liu, Jiancheng and Zhang, Yihua and Wong, Eric and Wei, Dennis and Liu, Sijia},
  booktitle={International Conference on Learning Representations},
  year={2024}
}
```
"""

from __future__ import annotations

import evaluate
import numpy as np
from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError
from hf_privacy.forgetting import unlearning_figures
from hf_privacy.forgetting import unlearning_gap
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import by_model
from hf_privacy.metrics import metric_info

_SETS = ("forget", "retain", "test")


def _figures(name, correct, scores_name, scores, sets, attack):
    """Figures of each model, from tables of one row per example."""
    tables = {"correct": by_model(name, correct)}
    if scores is not None:
        tables["scores"] = by_model(scores_name, scores)
        if len(tables["scores"]) != len(tables["correct"]):
            raise InputError(
                f"{scores_name} has {len(tables['scores'])} columns and {name} {len(tables['correct'])}: pass one per "
                "model in both"
            )
    for kind, table in tables.items():
        if table.shape[1] != len(sets):
            given = name if kind == "correct" else scores_name
            raise InputError(f"{given} has {table.shape[1]} rows and references {len(sets)}: pass one for each")
    logs = []
    for model in range(len(tables["correct"])):
        parts = {
            f"{group}_{kind}": table[model][sets == number]
            for kind, table in tables.items()
            for number, group in enumerate(_SETS)
        }
        logs.append(unlearning_figures(**parts, attack=attack))
    return logs


def _sets(references):
    """0, 1 and 2, each at least once."""
    sets = real_array("references", references)
    wrong = sets[~np.isin(sets, (0, 1, 2))]
    if wrong.size:
        raise InputError(f"references hold {wrong.flat[0]:g}: pass 0 for forget, 1 for retain and 2 for test")
    for number, group in enumerate(_SETS):
        if not np.any(sets == number):
            raise InputError(f"references hold no {number}: pass at least one {group} example")
    return sets


class UnlearningGap(CheckedInputs, evaluate.Metric):
    """AvgGap with its null."""

    topic = "machine-unlearning"
    example = {
        "predictions": [[0, 0], [1, 1], [1, 1], [1, 1], [1, 0], [0, 1]],
        "references": [0, 0, 1, 1, 2, 2],
        "retrained_correct": [[0, 0, 1], [1, 0, 1], [1, 1, 1], [1, 1, 1], [1, 0, 1], [0, 1, 1]],
        "scores": [[0.4, 0.3], [0.9, 0.6], [0.9, 0.9], [0.8, 0.9], [0.6, 0.4], [0.2, 0.7]],
        "retrained_scores": [
            [0.4, 0.3, 0.6],
            [0.7, 0.4, 0.6],
            [0.9, 0.9, 0.8],
            [0.8, 0.9, 0.9],
            [0.6, 0.4, 0.7],
            [0.2, 0.7, 0.6],
        ],
    }

    def _info(self):
        return metric_info(__doc__, tables=("predictions",))

    def _compute(
        self,
        predictions,
        references,
        *,
        retrained_correct=None,
        retrained_figures=None,
        scores=None,
        retrained_scores=None,
        attack="threshold",
        confidence=0.95,
    ):
        if (retrained_correct is None) == (retrained_figures is None):
            raise InputError("pass one of retrained_correct and retrained_figures: the gap is to retrained models")
        if retrained_figures is not None and retrained_scores is not None:
            raise InputError("retrained_scores come without retrained_correct: stored figures hold their MIA")
        if retrained_figures is None and (scores is None) != (retrained_scores is None):
            raise InputError("pass scores and retrained_scores together, or neither: MIA is compared on both sides")
        sets = _sets(references)
        ours = _figures("predictions", predictions, "scores", scores, sets, attack)
        theirs = retrained_figures
        if theirs is None:
            theirs = _figures(
                "retrained_correct", retrained_correct, "retrained_scores", retrained_scores, sets, attack
            )
        gap = unlearning_gap(ours, theirs, figures=list(ours[0]), confidence=confidence)
        result = {key: value for key, value in gap.items() if key not in ("figures", "null")}
        for name, figure in gap["figures"].items():
            result[name.lower()] = figure["unlearned"]
            result |= {f"{name.lower()}_{key}": value for key, value in figure.items() if key != "unlearned"}
        if gap["null"] is not None:
            result |= {f"null_{key}": value for key, value in gap["null"].items() if key != "figures"}
            result |= {f"null_{name.lower()}_gap": value for name, value in gap["null"]["figures"].items()}
        result["n_examples"] = len(sets)
        return {key: value for key, value in result.items() if value is not None}
