"""Robust Accuracy: how many examples a model still classifies correctly under an adversarial attack, with confidence
intervals.

The share of examples that a model classifies correctly when each is attacked, beside its clean accuracy. Adversarial
training often leaks more about its training set than plain training: read this number beside those of
`membership_inference`.

## Inputs

- **predictions** (int): the class predicted for each adversarial example.
- **references** (int): its true class.
- **clean_predictions** (N int, optional): the class predicted for each example without the attack. An example then
  counts as robust only if it is classified correctly both ways.
- **confidence** (float, default 0.95): of every interval.

## Output

A dict of plain Python numbers:

| key | meaning |
|---|---|
| `robust_accuracy`, `…_low`, `…_high` | share of examples classified correctly under the attack, with its \
Clopper–Pearson interval |
| `clean_accuracy`, `…_low`, `…_high` | with `clean_predictions`: the same without the attack |
| `attack_success_rate`, `…_low`, `…_high` | with `clean_predictions`: the share the attack turns of those classified \
correctly; left out where none is |
| `n_examples`, `confidence` | how many examples were seen, and the level of the intervals |

## Limitations

- An upper bound of robustness: it says what this attack found within its budget, and a stronger one finds more. Name
  the attack, its norm, radius and steps beside the number.
- Models whose gradients are masked (saturated or rounded outputs) look robust to gradient attacks alone; AutoAttack's
  Square asks for outputs only.
- The intervals cover the choice of examples, not the chance of training or of the attack's random start.

## Citation

```bibtex
@inproceedings{madry2018towards,
  title={Towards Deep Learning Models Resistant to Adversarial Attacks},
  author={Madry, Aleksander and Makelov, Aleksandar and Schmidt, Ludwig and Tsipras, Dimitris and Vladu, Adrian},
  booktitle={International Conference on Learning Representations},
  year={2018}
}
```
"""

from __future__ import annotations

import evaluate
from hf_privacy.arrays import class_labels
from hf_privacy.errors import InputError
from hf_privacy.metrics import CheckedInputs
from hf_privacy.metrics import metric_info
from hf_privacy.statistics import clopper_pearson


class RobustAccuracy(CheckedInputs, evaluate.Metric):
    """Accuracy under attack."""

    topic = "adversarial-robustness"
    example = {
        "predictions": [0, 1, 2, 0, 0, 2],
        "references": [0, 1, 2, 1, 2, 2],
        "clean_predictions": [0, 1, 2, 1, 2, 0],
    }

    def _info(self):
        return metric_info(__doc__)

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
            result |= _share("clean_accuracy", n_clean, n_examples, confidence)
            if n_clean:  # where nothing was right there was nothing to attack, and no rate
                result |= _share("attack_success_rate", n_clean - int(robust.sum()), n_clean, confidence)
        result = _share("robust_accuracy", int(robust.sum()), n_examples, confidence) | result
        return {**result, "n_examples": n_examples, "confidence": confidence}


def _share(name, count, total, confidence):
    """A share with its interval."""
    low, high = clopper_pearson(count, total, confidence=confidence)
    return {name: count / total, f"{name}_low": low, f"{name}_high": high}
