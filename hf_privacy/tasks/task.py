"""What a task gives to everything above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset

    from hf_privacy.data import TensorDataset

Batch = Mapping[str, Any]
# From log-probabilities [m, C] and targets [m] of predictions to values of each [m], with gradients.
PredictionFunction = Callable[["torch.Tensor", "torch.Tensor"], "tuple[torch.Tensor, ...]"]


class Prepared(NamedTuple):
    """Rows and model of a recipe made concrete: tensors, processor, a maker of untrained models, and one of them."""

    dataset: TensorDataset
    processor: Any
    model_init: Callable[[], Any]
    model: Any


def without_full_mask(batch: Batch) -> Batch:
    """A batch on the host without an "attention_mask" that masks nothing.

    Without one a model does the same; with one it asks the device at each forward pass whether anything is masked.

    Examples
    --------
    >>> import torch
    >>> list(without_full_mask({"input_ids": torch.ones(1, 2), "attention_mask": torch.ones(1, 2)}))
    ['input_ids']
    """
    mask = batch.get("attention_mask")
    if mask is None or not bool(mask.all()):
        return batch
    return {name: values for name, values in batch.items() if name != "attention_mask"}


class Task(Protocol):
    """What an example is."""

    name: str  # the Hub's
    column: str  # what its input columns hold: "image", "text" or "features"
    most_columns: int | None  # that an example may have; None for any number
    columns_hint: str  # what the refusal of more than that goes on with
    processor: str | None  # what its models bring for their inputs: "image processor" or "tokenizer"
    input_space: str  # name of the space of `hf_privacy.adversarial` in which an attack moves inputs
    augmentations: tuple[str, ...]  # what a recipe may do to training batches
    queries: tuple[str, ...]  # views of an example that an audit may ask about
    signal_names: tuple[str, ...]
    data_defaults: Mapping[str, Any]  # of a recipe's section ``data``, where they are others than the section's own
    has_classes: bool  # whether an example has one label, of a fixed set
    utility_range: Mapping[str, tuple[float, float]]  # of each name in `utility`, the least and the greatest value

    def load_processor(self, name_or_path: Any, *, revision: str | None = None) -> Any:
        """The processor of a checkpoint; None where `processor` is."""

    def encode(
        self, rows: Dataset, processor: Any, *, columns: Sequence[str], label_column: str, model: Any = None
    ) -> TensorDataset:
        """The rows as tensors, by the processor of the model they are for."""

    def prepare(self, rows: Dataset, *, model: Any, data: Any, classes: Sequence[str]) -> Prepared:
        """A recipe's rows and model, by its sections ``model`` and ``data``; an `InputError` for what does not fit."""

    def augmentation(self, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """One of `augmentations`."""

    def located(self, batch: Batch) -> Batch:
        """The batch with what of it is asked on the host, before it goes to a device that would have to be waited for.

        What takes batches of the task takes both; `count` and `forward` then ask the device for nothing.
        """

    def forward(self, model: Any, batch: Batch) -> Any:
        """What the model says of a batch with "labels", which it does not get to see."""

    def example_losses(self, outputs: Any, batch: Batch, *, label_smoothing: float = 0.0) -> torch.Tensor:
        """The loss of each example [B], in float32 at least, of outputs of `forward`, or any with "logits".

        Each depends on nothing but its own example.
        """

    def example_means(self, outputs: Any, batch: Batch, function: PredictionFunction) -> tuple[torch.Tensor, ...]:
        """What `function` gives of each prediction, as the mean over an example's predictions: each [B].

        A class is one prediction; a row of tokens makes one for each token that is scored.
        """

    def separate_losses(self, call: Callable[..., Any], batch: Batch) -> torch.Tensor:
        """The losses of `example_losses` [B], by operations whose shapes do not hang on values, as `torch.func` asks.

        ``call`` is the model, or stands in for it with other weights.
        """

    def mean_loss(self, outputs: Any, batch: Batch, *, average: str, label_smoothing: float = 0.0) -> torch.Tensor:
        """The mean loss of a batch: over its examples ("example"), or over the tokens they are made of ("token")."""

    def count(self, batch: Batch, *, average: str) -> int:
        """How many `mean_loss` is the mean of."""

    def signals(self, outputs: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """What attacks read of each example: float64 [B] by `signal_names`, on the CPU, without gradients."""

    def utility(self, signals: Mapping[str, np.ndarray]) -> dict[str, float]:
        """What a model is worth to its user, by name, from its signals of examples."""

    def utility_estimates(
        self, signals: Mapping[str, np.ndarray], *, groups: np.ndarray | None = None, confidence: float = 0.95
    ) -> dict[str, Any]:
        """The same for a report: "loss", and by name "value", "low" and "high" of examples or groups drawn."""
