"""What `evaluate` is handed, looked at before `evaluate` reads it: it takes words for numbers and ignores masks."""

from __future__ import annotations

from typing import Any, ClassVar

from hf_privacy.arrays import real_array
from hf_privacy.errors import InputError


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


def _read(name: str, values: Any) -> Any:
    """A list as it is, anything else as an array: `evaluate` knows no series of nullable numbers."""
    if values is None:
        return None
    array = real_array(name, values)
    if array.ndim == 0:
        raise InputError(f"{name} is a single number: pass one value per example")
    return values if isinstance(values, list) else array
