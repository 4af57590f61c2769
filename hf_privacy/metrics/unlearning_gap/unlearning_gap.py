"""Unlearning gap: UA, RA, TA and MIA efficacy against retraining, and against retraining's own noise."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np
from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError
from hf_privacy.forgetting import unlearning_figures
from hf_privacy.forgetting import unlearning_gap
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import by_model

_DESCRIPTION = """\
Unlearning accuracy (UA, 1 - accuracy on the forget set), retain and test accuracy (RA, TA) and the share of the \
forget set that a membership attack takes for unseen (MIA) of unlearned models, their gaps to retrained models, the \
average absolute gap (AvgGap), and the AvgGap of retrained models against each other, which is the null.
"""

_INPUTS = """\
predictions (N lists of S 0/1): 1 where each of S unlearned models is right on the example.
references (list of N 0/1/2): the set of the example: 0 forget, 1 retain, 2 test.
retrained_correct (N lists of R 0/1, keyword): the same as predictions, of R models retrained without the forget set.
retrained_figures (list of R dicts, keyword): instead, stored logs of them with "UA", "RA", "TA" (and "MIA") as
  fractions.
scores (N lists of S floats, keyword): membership scores of the unlearned models, higher for likelier members, for MIA.
retrained_scores (N lists of R floats, keyword): the same of the retrained models.
attack (str, keyword): of MIA, "threshold" (default) or "logistic".
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{fan2024salun,
  title={SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency in Both Image Classification and
    Generation},
  author={Fan, Chongyu and Liu, Jiancheng and Zhang, Yihua and Wong, Eric and Wei, Dennis and Liu, Sijia},
  booktitle={International Conference on Learning Representations},
  year={2024}
}
"""

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


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class UnlearningGap(CheckedInputs, evaluate.Metric):
    """AvgGap with its null."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Sequence(datasets.Value("float64")), "references": datasets.Value("float64")}
            ),
        )

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
