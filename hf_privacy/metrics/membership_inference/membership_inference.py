"""Membership inference: how well scores tell members of the training set from non-members."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import attack_summary
from hf_privacy.metrics import flatten_summary
from hf_privacy.metrics import zero_one
from hf_privacy.statistics import bootstrap_interval
from hf_privacy.statistics import summarize_slices

_DESCRIPTION = """\
How well a membership score tells training examples (members) from others: AUC, TPR at low FPR, balanced accuracy and \
advantage, with confidence intervals. Higher means more leakage; an AUC of 0.5 is what guessing reaches.
"""

_INPUTS = """\
predictions (list of float): one membership score per example, higher for likelier members.
references (list of 0/1): 1 for a member, 0 for a non-member; the two may differ in number.
fprs (list of float, keyword): false positive rates at which to give the TPR, default 0.001, 0.01, 0.1.
confidence (float, keyword): of every interval, default 0.95.
groups (list of N int or str, keyword): the class or memorization bin of each example, to summarize each by itself.
min_examples (int, keyword): members and non-members that a group must hold, default 30.
n_resamples (int, keyword): of bootstrap intervals beside the others, default 0 for none; 1000 is usual.
seed (int, keyword): of the bootstrap, default 0.
"""

_CITATION = """\
@inproceedings{carlini2022membership,
  title={Membership Inference Attacks From First Principles},
  author={Carlini, Nicholas and Chien, Steve and Nasr, Milad and Song, Shuang and Terzis, Andreas and
    Tram{\\`e}r, Florian},
  booktitle={IEEE Symposium on Security and Privacy},
  year={2022}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class MembershipInference(CheckedInputs, evaluate.Metric):
    """Summary of membership scores."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            # float64: in float32, scores that differ would tie and the ROC curve with them.
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(
        self,
        predictions,
        references,
        *,
        fprs=(1e-3, 1e-2, 1e-1),
        confidence=0.95,
        groups=None,
        min_examples=30,
        n_resamples=0,
        seed=0,
    ):
        membership = zero_one("references", references)
        result = attack_summary(predictions, membership, fprs=fprs, confidence=confidence)
        if n_resamples:
            settings = {"n_resamples": n_resamples, "confidence": confidence, "seed": seed}
            wanted = {"auc": {"statistic": "auc"}, "balanced_accuracy": {"statistic": "balanced_accuracy"}}
            wanted |= {f"tpr_at_fpr_{fpr:g}": {"statistic": "tpr_at_fpr", "fpr": fpr} for fpr in fprs}
            for name, statistic in wanted.items():
                if name in result:  # a rate that the non-members cannot resolve has no interval either
                    low, high = bootstrap_interval(predictions, membership, **statistic, **settings)
                    result |= {f"{name}_bootstrap_low": low, f"{name}_bootstrap_high": high}
        if groups is not None:
            slices = summarize_slices(
                predictions, membership, groups, fprs=fprs, confidence=confidence, min_examples=min_examples
            )
            result["groups"] = {str(group): flatten_summary(summary) for group, summary in slices.items()}
        return result
