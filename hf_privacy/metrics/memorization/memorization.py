"""Memorization: how much models owe to single training examples, and what the target shows of it."""

from __future__ import annotations

import datasets
import evaluate
import numpy as np
from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError
from hf_privacy.memorization import BIN_EDGES
from hf_privacy.memorization import feldman_zhang
from hf_privacy.memorization import memorization_bin
from hf_privacy.memorization import summarize_memorization
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import zero_one

_DESCRIPTION = """\
Memorization scores of Feldman and Zhang from reference models: for each example the mean correctness of the models \
trained with it less that of those trained without it. Returns their mean, how they spread over bins, their standard \
error and reliability, and the target's correctness on its members and non-members in each bin. Higher means more \
memorization; nothing about a single example is returned.
"""

_INPUTS = """\
predictions (list of float): the target's correctness on each example, 0/1, or its probability of the true class.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
reference_correct (K lists of N floats, keyword): the same as predictions of K reference models.
reference_membership (K lists of N 0/1, keyword): 1 where the reference model was trained on the example.
edges (list of float, keyword): of the memorization bins, default 0.1, 0.25, 0.5, 0.75.
wanted (float, keyword): reliability that n_references_needed is for, default 0.9.
seed (int, keyword): of the random halves that reliability is measured on, default 0.
"""

_CITATION = """\
@inproceedings{feldman2020what,
  title={What Neural Networks Memorize and Why: Discovering the Long Tail via Influence Estimation},
  author={Feldman, Vitaly and Zhang, Chiyuan},
  booktitle={Advances in Neural Information Processing Systems},
  year={2020}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class Memorization(CheckedInputs, evaluate.Metric):
    """Summary of the scores, and the target's correctness by bin."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

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
