"""KLoM: the KL divergence of margins between unlearned and retrained models, with its null."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.forgetting import klom
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import by_model

_DESCRIPTION = """\
KL divergence of each example's margins under unlearned models from those under retrained ones, from histograms: mean \
and 95th percentile over examples; and the null, the same between two halves of the retrained models, which is the \
value of a perfect unlearner and well above 0.
"""

_INPUTS = """\
predictions (N lists of K floats): the margin (logit_y - logsumexp of the other logits) of K unlearned models on each
  example.
references (N lists of L floats): the same of L retrained models, L of at least 4.
n_bins (int, keyword): of each example's histogram, default 20.
clip (list of 2 floats, keyword): margins beyond count as these, default -100 and 100.
floor (float, keyword): least share of retrained models in a bin that holds unlearned ones, default 1e-5.
n_splits (int, keyword): random halves of the retrained models for the null, default 10.
seed (int, keyword): of the halves, default 0.
"""

_CITATION = """\
@article{georgiev2024attribute,
  title={Attribute-to-Delete: Machine Unlearning via Datamodel Matching},
  author={Georgiev, Kristian and Rinberg, Roy and Park, Sung Min and Garg, Shivam and Ilyas, Andrew and
    Madry, Aleksander and Neel, Seth},
  journal={arXiv preprint arXiv:2410.23232},
  year={2024}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class KLoM(CheckedInputs, evaluate.Metric):
    """KLoM and the values that retraining itself gets."""

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

    def _compute(self, predictions, references, *, n_bins=20, clip=(-100.0, 100.0), floor=1e-5, n_splits=10, seed=0):
        return klom(
            by_model("predictions", predictions),
            by_model("references", references),
            n_bins=n_bins,
            clip=tuple(clip),
            floor=floor,
            n_splits=n_splits,
            seed=seed,
        )
