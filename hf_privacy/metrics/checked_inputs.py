"""What `evaluate` is handed, looked at before `evaluate` reads it: it takes words for numbers and ignores masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError
from hf_privacy.metrics.values import attack_summary, zero_one


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
        predictions, references = _read("predictions", predictions), _read("references", references)
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
        return attack_summary(self.attack(predictions, **given), references, fprs=fprs, confidence=confidence)


def _read(name: str, values: Any) -> Any:
    """A list as it is, anything else as an array: `evaluate` knows no series of nullable numbers."""
    if values is None:
        return None
    array = real_array(name, values)
    if array.ndim == 0:
        raise InputError(f"{name} is a single number: pass one value per example")
    return values if isinstance(values, list) else array
