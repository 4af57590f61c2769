"""Forgetting quality (NeurIPS 2023): how little outputs tell unlearned from retrained models, with its null."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.forgetting import forgetting_quality
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import by_model

_DESCRIPTION = """\
Forgetting quality of the NeurIPS 2023 competition: for each forget example an epsilon from the error rates of \
threshold attacks between the outputs of unlearned and of retrained models, F = mean of 2^-floor(epsilon/0.5); and \
the null, F between two halves of the retrained models, which is the value of a perfect unlearner and far below 1.
"""

_INPUTS = """\
predictions (N lists of K floats): an output, such as phi, of K unlearned models on each forget example.
references (N lists of L floats): the same of L retrained models, L of at least 4.
attacks (str, keyword): "one_sided" (default: one threshold) or "two_sided" (also two of them).
delta (float, keyword): default 0.01.
n_splits (int, keyword): random halves of the retrained models for the null, default 10.
seed (int, keyword): of the halves, default 0.
"""

_CITATION = """\
@article{triantafillou2024are,
  title={Are We Making Progress in Unlearning? Findings from the First NeurIPS Unlearning Competition},
  author={Triantafillou, Eleni and Kairouz, Peter and Pedregosa, Fabian and Hayes, Jamie and others},
  journal={arXiv preprint arXiv:2406.09073},
  year={2024}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class ForgettingQuality(CheckedInputs, evaluate.Metric):
    """F and the value that retraining itself gets."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Sequence(datasets.Value("float64")),
                }
            ),
        )

    def _compute(self, predictions, references, *, attacks="one_sided", delta=0.01, n_splits=10, seed=0):
        result = forgetting_quality(
            by_model("predictions", predictions),
            by_model("references", references),
            attacks=attacks,
            delta=delta,
            n_splits=n_splits,
            seed=seed,
        )
        return {key: value for key, value in result.items() if key != "attacks"}
