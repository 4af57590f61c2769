"""How a model does on what it was to forget, on what it keeps and on what it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_privacy.arrays import finite_array, row_numbers
from hf_privacy.attacks import window_comparison
from hf_privacy.data import ForgetSplit, TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.forgetting import mia_efficacy
from hf_privacy.signals import TokenSignals, signals_and_tokens
from hf_privacy.statistics import clopper_pearson, summarize
from hf_privacy.tasks import Task, task_of

Signals = Mapping[str, np.ndarray]

PARTS = ("forget", "retain", "test")
FPRS = (0.01, 0.1)
_NO_ENDS: dict[str, float | None] = {"low": None, "high": None}


@dataclass(frozen=True, eq=False)
class UnlearningEvaluation:
    """The signals of one model on the three sets that judge an unlearner.

    The arrays are private, as the examples are: only what `figures` gives is for publication.

    Attributes
    ----------
    forget, retain, test : mapping of str to float64 [F], [R], [T]
        What the task gives of each example, "loss", "phi", "correct" and so on; of a classifier the class, "label"; of
        a language model "window_comparison" where the base checkpoint is known, and "group" where rows come in groups.
    task : Task, optional
        What an example is; by default one with a class.
    """

    forget: Signals
    retain: Signals
    test: Signals
    task: Task | None = None

    @classmethod
    def of_arrays(
        cls, signals: Signals, *, n_forget: int, n_retain: int, task: Task | None = None
    ) -> UnlearningEvaluation:
        """Cut arrays over the forget, the retain and the test set, in this order, into the three sets."""
        ends = (n_forget, n_forget + n_retain)
        parts = [{}, {}, {}]  # type: list[dict[str, np.ndarray]]
        for name, values in signals.items():
            for part, piece in zip(parts, np.split(finite_array("signals", values), ends), strict=True):
                part[name] = piece
        return cls(*parts, task)

    def figures(self, *, confidence: float = 0.95) -> list[dict[str, Any]]:
        """UA, RA, TA and MIA efficacy, each with its exact (Clopper–Pearson) interval.

        UA = 1 − accuracy on the forget set, RA and TA the accuracies on retain and test set. MIA efficacy is the
        share of the forget set that a membership attack judges "not a member": a threshold on φ, fitted on retain
        against those test examples that are of the forget set's classes (all, where there are none). It is no part
        of any unlearner. Of a language model accuracy is the share of scored tokens that greedy decoding would give,
        and intervals are over rows, or groups of them where there are two or more.

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
        if not self.has_classes:
            forget, retain, test = (self._worth(part, confidence)["token_accuracy"] for part in PARTS)
            wrong = {"value": 1 - forget["value"], "low": 1 - forget["high"], "high": 1 - forget["low"]}
            return [
                {"name": "UA", **wrong, "n_examples": len(self.forget["loss"])},
                {"name": "RA", **retain, "n_examples": len(self.retain["loss"])},
                {"name": "TA", **test, "n_examples": len(self.test["loss"])},
                {"name": "MIA", **self._efficacy(confidence)},
            ]
        hits = {
            "UA": self.forget["correct"] == 0,
            "RA": self.retain["correct"] == 1,
            "TA": self.test["correct"] == 1,
        }
        rates = [{"name": name, **share_of(hit, confidence), "n_examples": len(hit)} for name, hit in hits.items()]
        return [*rates, {"name": "MIA", **self._efficacy(confidence)}]

    @property
    def has_classes(self) -> bool:
        """Whether examples have a class, and not tokens."""
        return self.task is None or self.task.has_classes

    def losses(self, *, confidence: float = 0.95) -> list[dict[str, Any]]:
        """Of a language model, loss in nats a token and perplexity on each set.

        Returns
        -------
        list of dict
            "name" of `PARTS`, "loss", "perplexity" with "low" and "high" (None for a single row), "n_examples" and
            "n_tokens".
        """
        found = []
        for name in PARTS:
            part, worth = getattr(self, name), self._worth(name, confidence)
            perplexity = worth["perplexity"]
            ends = {"low": perplexity["low"], "high": perplexity["high"]} if len(part["loss"]) > 1 else _NO_ENDS
            counts = {"n_examples": len(part["loss"]), "n_tokens": int(part["n_tokens"].sum())}
            found.append({"name": name, "loss": worth["loss"], "perplexity": perplexity["value"], **ends, **counts})
        return found

    def membership(self, *, confidence: float = 0.95) -> dict[str, Any]:
        """Of a language model: can the forget set be told from the test set, which it never saw?

        0.5 is no. The attack is window comparison with the base checkpoint where that is known, else the loss; what is
        left of what the base itself knew of either set is taken off by the first alone. Groups are what is drawn.

        Returns
        -------
        dict
            "attack"; "auc", "auc_low", "auc_high"; "tpr_at_fpr", for each of `FPRS` "fpr", "tpr", "low" and "high",
            None where too few test rows resolve it.
        """
        attack = "window_comparison" if "window_comparison" in self.forget else "loss"
        sides = [part[attack] if attack != "loss" else -part["loss"] for part in (self.forget, self.test)]
        groups = None
        if "group" in self.forget:
            groups = np.concatenate([self.forget["group"], self.test["group"]]).astype(np.int64)
        inside = np.repeat([True, False], [len(side) for side in sides])
        found = summarize(np.concatenate(sides), inside, fprs=FPRS, confidence=confidence, groups=groups)
        rates = [{name: rate[name] for name in ("fpr", "tpr", "low", "high")} for rate in found["tpr_at_fpr"]]
        area = {name: found[name] for name in ("auc", "auc_low", "auc_high")}
        return {"attack": attack, **area, "tpr_at_fpr": rates}

    def values(self) -> dict[str, float]:
        """The figures alone, by name, as `hf_privacy.forgetting.unlearning_gap` takes them."""
        return {figure["name"]: figure["value"] for figure in self.figures()}

    def _worth(self, name: str, confidence: float) -> dict[str, Any]:
        """What the task's ``utility_estimates`` says of one part; of a single row with the widest intervals."""
        assert self.task is not None
        part = getattr(self, name)
        if len(part["loss"]) > 1:
            return self.task.utility_estimates(part, groups=_groups(part), confidence=confidence)
        ranges = self.task.utility_range
        return {
            worth: value if worth == "loss" else {"value": value, "low": ranges[worth][0], "high": ranges[worth][1]}
            for worth, value in self.task.utility(part).items()
        }

    def _efficacy(self, confidence: float) -> dict[str, Any]:
        alike = np.isin(self.test["label"], self.forget["label"]) if self.has_classes else np.zeros(0, dtype=bool)
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
    base: TokenSignals | None = None,
    groups: np.ndarray | None = None,
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
    base : TokenSignals, optional
        Of a language model: what the checkpoint before fine-tuning says of the tokens of forget, retain and test rows,
        in this order, for the attack of `UnlearningEvaluation.membership`.
    groups : int64[N], optional
        Of a language model: each row's group.

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
    order = np.concatenate([split.forget, split.retain, test])
    rows = dataset.subset(order)
    signals, tokens = signals_and_tokens(model, rows, batch_size=batch_size, progress=progress)
    task = task_of(model)
    found = {name: signals[name][0] for name in task.signal_names}
    if tokens is None:
        found["label"] = rows.column("labels").numpy()
    else:
        found |= token_columns(tokens, base, None if groups is None else groups[order])
    return UnlearningEvaluation.of_arrays(found, n_forget=len(split.forget), n_retain=len(split.retain), task=task)


def token_columns(tokens: TokenSignals, base: TokenSignals | None, groups: np.ndarray | None) -> dict[str, np.ndarray]:
    """What `UnlearningEvaluation` of a language model has beside the signals of rows, by name [N]."""
    found = {} if groups is None else {"group": groups}
    if base is not None:
        found["window_comparison"] = window_comparison(tokens.log_prob, base.log_prob, tokens.offsets)
    return found


def _groups(part: Signals) -> np.ndarray | None:
    """What was drawn; a single group says nothing of how groups differ, and its rows are what there is."""
    groups = part.get("group")
    return groups.astype(np.int64) if groups is not None and len(np.unique(groups)) > 1 else None


def share_of(hits: np.ndarray, confidence: float) -> dict[str, float]:
    """The share of examples that are hit, with its exact interval: "value", "low" and "high"."""
    low, high = clopper_pearson(int(hits.sum()), len(hits), confidence=confidence)
    return {"value": int(hits.sum()) / len(hits), "low": low, "high": high}
