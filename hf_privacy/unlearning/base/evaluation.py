"""How a model does on what it was to forget, on what it keeps and on what it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_privacy.arrays import finite_array, row_numbers
from hf_privacy.data import ForgetSplit, TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.forgetting import mia_efficacy
from hf_privacy.signals import SIGNAL_NAMES, compute_signals
from hf_privacy.statistics import clopper_pearson

Signals = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class UnlearningEvaluation:
    """The signals of one model on the three sets that judge an unlearner.

    The arrays are private, as the examples are: only what `figures` gives is for publication.

    Attributes
    ----------
    forget, retain, test : mapping of str to float64 [F], [R], [T]
        Each name of `hf_privacy.signals.SIGNAL_NAMES`, "loss", "phi", "correct" and so on, and the class, "label".
    """

    forget: Signals
    retain: Signals
    test: Signals

    @classmethod
    def of_arrays(cls, signals: Signals, *, n_forget: int, n_retain: int) -> UnlearningEvaluation:
        """Cut arrays over the forget, the retain and the test set, in this order, into the three sets."""
        ends = (n_forget, n_forget + n_retain)
        parts = [{}, {}, {}]  # type: list[dict[str, np.ndarray]]
        for name, values in signals.items():
            for part, piece in zip(parts, np.split(finite_array("signals", values), ends), strict=True):
                part[name] = piece
        return cls(*parts)

    def figures(self, *, confidence: float = 0.95) -> list[dict[str, Any]]:
        """UA, RA, TA and MIA efficacy, each with its exact (Clopper–Pearson) interval.

        UA = 1 − accuracy on the forget set, RA and TA the accuracies on retain and test set. MIA efficacy is the
        share of the forget set that a membership attack judges "not a member": a threshold on φ, fitted on retain
        against those test examples that are of the forget set's classes (all, where there are none). It is no part
        of any unlearner.

        Returns
        -------
        list of dict
            "name" (those of `hf_privacy.forgetting.FIGURES`), "value", "low", "high" in [0, 1] and "n_examples".

        Examples
        --------
        >>> label = np.zeros(4)
        >>> right = {"correct": np.ones(4), "phi": np.full(4, 3.0), "label": label}
        >>> wrong = {"correct": np.zeros(4), "phi": np.full(4, -1.0), "label": label}
        >>> figures = UnlearningEvaluation(wrong, right, wrong).figures()
        >>> [(figure["name"], figure["value"]) for figure in figures]
        [('UA', 1.0), ('RA', 1.0), ('TA', 0.0), ('MIA', 1.0)]
        """
        hits = {
            "UA": self.forget["correct"] == 0,
            "RA": self.retain["correct"] == 1,
            "TA": self.test["correct"] == 1,
        }
        rates = [{"name": name, **share_of(hit, confidence), "n_examples": len(hit)} for name, hit in hits.items()]
        return [*rates, {"name": "MIA", **self._efficacy(confidence)}]

    def values(self) -> dict[str, float]:
        """The figures alone, by name, as `hf_privacy.forgetting.unlearning_gap` takes them."""
        return {figure["name"]: figure["value"] for figure in self.figures()}

    def _efficacy(self, confidence: float) -> dict[str, Any]:
        alike = np.isin(self.test["label"], self.forget["label"])
        unseen = self.test["phi"][alike] if alike.any() else self.test["phi"]
        found = mia_efficacy(self.forget["phi"], self.retain["phi"], unseen, confidence=confidence)
        return {
            "value": found["mia_efficacy"],
            "low": found["low"],
            "high": found["high"],
            "n_examples": found["n_forget"],
        }


def evaluate_unlearning(
    model: torch.nn.Module,
    dataset: TensorDataset,
    split: ForgetSplit,
    *,
    test: np.ndarray,
    batch_size: int = 512,
    progress: bool = False,
) -> UnlearningEvaluation:
    """Signals of one model on forget, retain and test set.

    Parameters
    ----------
    model : torch.nn.Module
        The original, an unlearned or a retrained one.
    dataset : TensorDataset
        The one ``split`` counts, without augmentation.
    split : ForgetSplit
    test : int64[T]
        Positions that neither training nor the unlearner has seen: the held-out set will not do.
    batch_size : int
    progress : bool

    Raises
    ------
    InputError
        When ``test`` is empty or shares rows with one of the split's parts.

    Examples
    --------
    >>> evaluate_unlearning(None, None, ForgetSplit([0], [1], [2]), test=np.array([2]))
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: test shares 1 row with heldout: judge with rows that neither training nor the
    unlearner has seen
    """
    test = row_numbers("test", test)
    if len(test) == 0:
        raise InputError("test is empty: pass rows that neither training nor the unlearner has seen")
    for name in ("forget", "retain", "heldout"):
        shared = len(np.intersect1d(test, getattr(split, name)))
        if shared:
            raise InputError(
                f"test shares {shared} row{'s' * (shared > 1)} with {name}: judge with rows that neither training nor "
                "the unlearner has seen"
            )
    rows = dataset.subset(np.concatenate([split.forget, split.retain, test]))
    signals = compute_signals(model, rows, batch_size=batch_size, progress=progress)
    return UnlearningEvaluation.of_arrays(
        {**{name: signals[name][0] for name in SIGNAL_NAMES}, "label": rows.column("labels").numpy()},
        n_forget=len(split.forget),
        n_retain=len(split.retain),
    )


def share_of(hits: np.ndarray, confidence: float) -> dict[str, float]:
    """The share of examples that are hit, with its exact interval: "value", "low" and "high"."""
    low, high = clopper_pearson(int(hits.sum()), len(hits), confidence=confidence)
    return {"value": int(hits.sum()) / len(hits), "low": low, "high": high}
