"""What a task gives to everything above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import datasets
    import numpy as np
    import torch

    from hf_privacy.data import TensorDataset

Batch = Mapping[str, Any]


class Prepared(NamedTuple):
    """Rows and model of a recipe made concrete: tensors, processor, a maker of untrained models, and one of them."""

    dataset: TensorDataset
    processor: Any
    model_init: Callable[[], Any]
    model: Any


class Task(Protocol):
    """What an example is.

    Attributes
    ----------
    name : str
        The Hub's, such as "image-classification".
    most_columns : int or None
        Input columns that an example may have; None for any number.
    columns_hint : str
        What the refusal of more than that goes on with.
    augmentations, queries : tuple of str
        Names of what a recipe may do to training batches, and of the views of an example an audit may ask about.
    column : {"image", "text", "features"}
        What its input columns hold.
    processor : {"image processor", "tokenizer"} or None
        What its models bring for their inputs.
    input_space : str
        Name of the space of `hf_privacy.adversarial` in which an attack moves inputs.
    signal_names : tuple of str
        Keys of `signals`.
    """

    name: str
    most_columns: int | None
    columns_hint: str
    augmentations: tuple[str, ...]
    queries: tuple[str, ...]
    column: str
    processor: str | None
    input_space: str
    signal_names: tuple[str, ...]

    def encode(
        self,
        rows: datasets.Dataset,
        processor: Any,
        *,
        columns: Sequence[str],
        label_column: str | None,
        model: Any = None,
    ) -> TensorDataset:
        """The rows as tensors, by the processor of the model they are for."""

    def load_processor(self, name_or_path: str | Path, *, revision: str | None = None) -> Any:
        """The processor of a checkpoint; None where `processor` is."""

    def prepare(self, rows: datasets.Dataset, *, model: Any, data: Any, classes: Sequence[str]) -> Prepared:
        """A recipe's rows and model, by its sections ``model`` and ``data``; an `InputError` for what does not fit."""

    def augmentation(self, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """One of `augmentations`."""

    def example_losses(self, outputs: Any, batch: Batch, *, label_smoothing: float = 0.0) -> torch.Tensor:
        """The loss of each example [B], in float32 at least, of outputs with "logits" and a batch with "labels".

        Each depends on nothing but its own example; a model's own loss is their mean.
        """

    def signals(self, outputs: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """What attacks read of each example: float64 [B] by name, without gradients."""

    def utility(self, signals: Mapping[str, np.ndarray]) -> dict[str, float]:
        """What a model is worth to its user, by name, from its signals of examples: their last dimension."""
