"""U-LiRA: are unlearned examples told from examples never seen, by Gaussians of other models?"""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.forgetting import u_lira
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import by_model
from hf_privacy.metrics import flatten_summary

_DESCRIPTION = """\
Likelihood-ratio attack on unlearning: each model's signal on each forget example against a Gaussian of models that \
unlearned it and one of models that never saw it, none of them the model itself. Returns AUC and TPR at low FPR with \
intervals; an AUC of 0.5 is what retraining itself gets.
"""

_INPUTS = """\
predictions (N lists of K floats): the signal phi (logit_y - logsumexp of the other logits) of K unlearned models on
  each forget example, K of at least 4.
references (N lists of L floats): the same of L models that never saw it, such as retrained ones.
variance (str, keyword): "pooled" (default), "per_example" or "shrunk".
prior_degrees (float, keyword): of "shrunk", how many observations the pooled variance counts for, default 8.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.01.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@article{hayes2024inexact,
  title={Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense of Privacy},
  author={Hayes, Jamie and Shumailov, Ilia and Triantafillou, Eleni and Khalifa, Amr and Papernot, Nicolas},
  journal={arXiv preprint arXiv:2403.01218},
  year={2024}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class ULira(CheckedInputs, evaluate.Metric):
    """Summary of U-LiRA's scores of held-out models."""

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

    def _compute(
        self, predictions, references, *, variance="pooled", prior_degrees=8.0, fprs=(0.01,), confidence=0.95
    ):
        result = u_lira(
            by_model("predictions", predictions),
            by_model("references", references),
            variance=variance,
            prior_degrees=prior_degrees,
            fprs=fprs,
            confidence=confidence,
        )
        return flatten_summary(result.summary)
