"""What `evaluate` is handed, looked at before `evaluate` reads it: it takes words for numbers and ignores masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError
from hf_privacy.metrics.values import attack_summary, flat_rows, zero_one


class CheckedInputs:
    """The part of our `evaluate` modules that refuses what is no array of numbers; stands before `evaluate.Metric`.

    Attributes
    ----------
    example : dict
        Arguments of `compute` that a card shows and a page starts with.
    topic : str
        The card's tag beside "evaluate", "metric" and "privacy".
    """

    example: ClassVar[dict[str, Any]]
    topic: ClassVar[str] = "membership-inference"

    def add_batch(self, *, predictions: Any = None, references: Any = None, **others: Any) -> None:
        """Add a batch, as `evaluate.Metric.add_batch`; `compute` passes through here too.

        Raises
        ------
        InputError
            As `hf_privacy.arrays.real_array`; also for a single number.
        """
        predictions = None if predictions is None else self._read_predictions(predictions)
        references = None if references is None else _read("references", references)
        super().add_batch(predictions=predictions, references=references, **others)  # type: ignore[misc]

    def add(self, *, prediction: Any = None, reference: Any = None, **others: Any) -> None:
        """Add one example, as `evaluate.Metric.add`.

        Raises
        ------
        InputError
            As `hf_privacy.arrays.real_array`.
        """
        for name, value in (("prediction", prediction), ("reference", reference)):
            if value is not None:
                real_array(name, value)
        super().add(prediction=prediction, reference=reference, **others)  # type: ignore[misc]

    def _read_predictions(self, values: Any) -> Any:
        return _read("predictions", values)


class AttackMetric(CheckedInputs):
    """The module of an attack: its arguments are the attack's own, its result how well the scores tell members.

    Attributes
    ----------
    attack : callable
        From the predictions and the module's other keywords to scores, higher for likelier members.
    """

    attack: ClassVar[Callable[..., ArrayLike]]

    def _compute(
        self,
        predictions: ArrayLike,
        references: ArrayLike,
        *,
        fprs: Iterable[float] = (1e-3, 1e-2, 1e-1),
        confidence: float = 0.95,
        **given: Any,
    ) -> dict[str, float | int]:
        for name in ("reference_membership", "population_membership"):  # evaluate's users write 0 and 1
            if given.get(name) is not None:
                given[name] = zero_one(name, given[name])
        return attack_summary(self._scores(predictions, given), references, fprs=fprs, confidence=confidence)

    def _scores(self, predictions: Any, given: dict[str, Any]) -> ArrayLike:
        return self.attack(predictions, **given)


class TokenAttackMetric(AttackMetric):
    """The module of an attack on sequences: predictions are rows of numbers of any length, one for each scored token.

    Attributes
    ----------
    rows : tuple of str
        Keywords that hold rows as the predictions do, or a list of such rows for each of several models.
    """

    rows: ClassVar[tuple[str, ...]] = ()

    def _read_predictions(self, values: Any) -> Any:
        flat, offsets = flat_rows("predictions", values)
        return [row.tolist() for row in np.split(flat, offsets[1:-1])]

    def _scores(self, predictions: Any, given: dict[str, Any]) -> ArrayLike:
        log_prob, offsets = flat_rows("predictions", predictions)
        for name in given.keys() & set(self.rows):
            given[name] = (
                [flat_rows(name, model, like=offsets)[0] for model in given[name]]
                if _is_of_models(given[name])
                else flat_rows(name, given[name], like=offsets)[0]
            )
        return self.attack(log_prob=log_prob, offsets=offsets, **given)


def _is_of_models(values: Any) -> bool:
    """Whether these are rows of several models: lists of rows, and not rows of numbers."""
    try:
        return hasattr(values[0][0], "__len__")
    except (TypeError, IndexError, KeyError):
        return False


def _read(name: str, values: Any) -> Any:
    """A list as it is, anything else as an array: `evaluate` knows no series of nullable numbers."""
    array = real_array(name, values)
    if array.ndim == 0:
        raise InputError(f"{name} is a single number: pass one value per example")
    return values if isinstance(values, list) else array
