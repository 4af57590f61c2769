"""Robust accuracy: how many examples a model still classifies correctly when it is attacked."""

from __future__ import annotations

import datasets
import evaluate
from hf_privacy.arrays import class_labels
from hf_privacy.errors import InputError
from hf_privacy.metrics import CheckedInputs
from hf_privacy.statistics import clopper_pearson

_DESCRIPTION = """\
Share of the examples that a model classifies correctly under an adversarial attack, with its Clopper-Pearson \
interval; beside the predictions on the clean examples also the clean accuracy and the attack's success rate. It is \
an upper bound of the true robustness: a stronger attack finds less.
"""

_INPUTS = """\
predictions (list of int): the class predicted for each adversarial example.
references (list of int): its true class.
clean_predictions (list of N int, keyword): the class predicted for each example without the attack.
confidence (float, keyword): of every interval, default 0.95.
"""

_CITATION = """\
@inproceedings{madry2018towards,
  title={Towards Deep Learning Models Resistant to Adversarial Attacks},
  author={Madry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, Dimitris and Vladu, Adrian},
  booktitle={International Conference on Learning Representations},
  year={2018}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class RobustAccuracy(CheckedInputs, evaluate.Metric):
    """Accuracy under attack."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(self, predictions, references, *, clean_predictions=None, confidence=0.95):
        labels = class_labels("references", references)
        robust = class_labels("predictions", predictions) == labels
        n_examples = len(labels)
        result = {}
        if clean_predictions is not None:
            clean_classes = class_labels("clean_predictions", clean_predictions)
            if len(clean_classes) != n_examples:
                raise InputError(
                    f"clean_predictions have {len(clean_classes)} rows and references {n_examples}: pass one for each"
                )
            clean = clean_classes == labels
            robust &= clean  # an attack that happens to repair a mistake makes no example robust
            n_clean = int(clean.sum())
            low, high = clopper_pearson(n_clean, n_examples, confidence=confidence)
            result |= {"clean_accuracy": n_clean / n_examples, "clean_accuracy_low": low, "clean_accuracy_high": high}
            if n_clean:  # where nothing was right there was nothing to attack, and no rate
                n_fooled = n_clean - int(robust.sum())
                low, high = clopper_pearson(n_fooled, n_clean, confidence=confidence)
                result |= {
                    "attack_success_rate": n_fooled / n_clean,
                    "attack_success_rate_low": low,
                    "attack_success_rate_high": high,
                }
        n_robust = int(robust.sum())
        low, high = clopper_pearson(n_robust, n_examples, confidence=confidence)
        return {
            "robust_accuracy": n_robust / n_examples,
            "robust_accuracy_low": low,
            "robust_accuracy_high": high,
            **result,
            "n_examples": n_examples,
            "confidence": confidence,
        }
