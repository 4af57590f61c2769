"""Blind baseline: can members be told from non-members without the model?"""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.attacks import blind_baseline
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import zero_one

_DESCRIPTION = """\
A classifier that sees the inputs and never the model, scored on examples it was not fitted on: where it tells \
members from non-members, they differ by distribution, and attacks on any model measure that difference too. Returns \
AUC, TPR at low FPR, balanced accuracy and advantage, with confidence intervals. An AUC of 0.5 is what a fair split \
gives.
"""

_INPUTS = """\
predictions (N lists of D floats): what the classifier sees of each example; nothing that comes from the model.
references (list of 0/1): 1 for a member of the target's training set, 0 for a non-member.
n_folds (int, keyword): parts to score one after another, default 5; each needs 5 members and 5 non-members.
classifier (str, keyword): "logistic" (default) or "gradient_boosting".
n_components (int, keyword): principal components that more columns are projected on, default 50.
max_rows (int, keyword): most examples to fit on, default 20,000.
seed (int, keyword): of the folds and the fit, default 0.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@article{das2024blind,
  title={Blind Baselines Beat Membership Inference Attacks for Foundation Models},
  author={Das, Debeshee and Zhang, Jie and Tram{\\`e}r, Florian},
  journal={arXiv preprint arXiv:2406.16201},
  year={2024}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class BlindBaseline(CheckedInputs, evaluate.Metric):
    """Summary of the blind classifier's scores."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": datasets.List(datasets.Value("float64")),
                    "references": datasets.Value("float64"),
                }
            ),
        )

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
