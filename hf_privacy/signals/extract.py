"""One pass of a model over a dataset gives every signal of every example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate import Accelerator

from hf_privacy.data import TensorDataset
from hf_privacy.data.augment import horizontal_flip
from hf_privacy.errors import InputError
from hf_privacy.models.modes import evaluation_mode
from hf_privacy.signals.batches import map_batches, refuse_unlabelled
from hf_privacy.signals.log_curvature import curvature_signals
from hf_privacy.signals.names import ADVERSARIAL_QUERY, QUERY_NAMES, clean_rows, curvature_signal_names
from hf_privacy.tasks import Task, task_of

if TYPE_CHECKING:
    from hf_privacy.adversarial import AdversarialInputs
    from hf_privacy.signals.curvature import Curvature

__all__ = ["QUERY_NAMES", "average_queries", "compute_signals", "evaluation_mode", "map_batches"]


def compute_signals(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    batch_size: int = 256,
    queries: Sequence[str] = ("identity",),
    adversarial: AdversarialInputs | None = None,
    curvature: Curvature | None = None,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> dict[str, np.ndarray]:
    """Signals of every example of `dataset` under `model`, in the dataset's order.

    The model runs in evaluation mode, without gradients or augmentation, and each module gets its own mode back
    afterwards. Labels are not passed to the model: signals come from its logits alone, so a smoothed, defended or
    rescaled training loss cannot leak into the audit. With an accelerator of several processes each takes whole
    batches from one contiguous stretch of the dataset (every example once, no padding), and all of them get the
    complete arrays; because batches are cut the same way for any number of processes, the values are the same too. On
    another device the model's float32 rounds otherwise (never to TF32), so that logits, and with them the signals,
    agree to some 1e-5 of the largest.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` of shape [batch, C].
    dataset : TensorDataset of N examples
        Has a ``labels`` column; every other column is given to the model.
    batch_size : int
        Examples per forward pass.
    queries : sequence of str
        Views of each example to ask the model about: ``"identity"``, for images ``"flip"`` (left to right), and
        ``"adversarial"``, the example as `adversarial` changes it against this very model.
    adversarial : AdversarialInputs, optional
        The attack behind the query ``"adversarial"``. Its random start is drawn from each example's content, so the
        values depend on neither batch nor order.
    curvature : Curvature, optional
        Also the curvature of the loss at each view, see `hf_privacy.signals.curvature_signals`; as dear as its
        number of gradient passes.
    accelerator : accelerate.Accelerator, optional
        Spreads the work over its processes and moves the model to its device; every process must make this call.
        Without one this process does all the work, on the device the model is on.
    progress : bool
        Show a progress bar (main process only).

    Returns
    -------
    dict of str to float64 array of shape [Q, N]
        One array for each signal of the model's task (``SIGNAL_NAMES``), rows in the order of `queries`; with
        `curvature` also ``"curvature"`` (a logarithm, finite) and ``"curvature_trace"``.

    Raises
    ------
    InputError
        For an empty dataset, one without labels, an unknown or repeated query, ``"flip"`` on data without images,
        ``"adversarial"`` without its attack or the attack without the query, a model sharded over processes, or
        logits that are not finite.

    Examples
    --------
    >>> import torch
    >>> from hf_privacy.data import TensorDataset
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    >>> dataset = TensorDataset({"features": torch.zeros(5, 4), "labels": torch.tensor([0, 1, 2, 0, 1])})
    >>> compute_signals(model, dataset)["phi"].shape
    (1, 5)
    """
    _check(dataset, queries, adversarial)
    task = task_of(model)
    names = [*task.signal_names, *([] if curvature is None else curvature_signal_names(curvature.method))]

    def signals_of(model: torch.nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
        labels = batch["labels"]
        rows = []
        for query in queries:
            views = _view(query, model, inputs, labels.to(device), adversarial)
            signals = _signals(task, model, views, labels.to(device))
            if curvature is not None:
                signals |= curvature_signals(model, views, labels.to(device), curvature=curvature)
            rows.append(np.stack([signals[name] for name in names]))
        return np.stack(rows, axis=1)  # [S, Q, batch]

    table = map_batches(
        model,
        dataset,
        signals_of,
        batch_size=batch_size,
        accelerator=accelerator,
        progress=progress,
        description="signals",
    )
    return {name: np.ascontiguousarray(table[row]) for row, name in enumerate(names)}


def average_queries(
    signals: Mapping[str, np.ndarray], *, queries: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Mean of each signal over its queries: arrays of shape [Q, N] become [N].

    Where the names of the `queries` are given, the adversarial one is left out of the mean.

    Examples
    --------
    >>> average_queries({"phi": np.array([[1.0, 2.0], [3.0, 4.0]])})["phi"].tolist()
    [2.0, 3.0]
    >>> average_queries({"phi": np.array([[1.0], [3.0]])}, queries=["identity", "adversarial"])["phi"].tolist()
    [1.0]
    """
    if queries is not None:
        kept = clean_rows(queries)
        signals = {name: values[kept] for name, values in signals.items()}
    return {name: values.mean(axis=0) for name, values in signals.items()}


def _view(
    query: str,
    model: torch.nn.Module,
    inputs: dict[str, torch.Tensor],
    labels: torch.Tensor,
    adversarial: AdversarialInputs | None,
) -> dict[str, torch.Tensor]:
    """What the model is given for one query."""
    if query == "flip":
        return {**inputs, "pixel_values": horizontal_flip(inputs["pixel_values"])}
    if query == ADVERSARIAL_QUERY:
        assert adversarial is not None
        return adversarial(model, inputs, labels)  # takes gradients, so it stands outside inference mode
    return inputs


@torch.inference_mode()
def _signals(
    task: Task, model: torch.nn.Module, views: Mapping[str, torch.Tensor], labels: torch.Tensor
) -> dict[str, np.ndarray]:
    batch = {**views, "labels": labels}
    return {name: values.numpy() for name, values in task.signals(task.forward(model, batch), batch).items()}


def _check(dataset: TensorDataset, queries: Sequence[str], adversarial: AdversarialInputs | None) -> None:
    columns = dataset.column_names
    refuse_unlabelled(dataset, "signals need")
    unknown = [query for query in queries if query not in QUERY_NAMES]
    if unknown or not queries or len(set(queries)) < len(queries):
        raise InputError(f"queries is {list(queries)}: pass one or more of {list(QUERY_NAMES)}, each once")
    if "flip" in queries and "pixel_values" not in columns:
        raise InputError(
            f"queries has 'flip' and dataset the columns {sorted(columns)}: flip is for images (pixel_values), "
            'use queries=("identity",)'
        )
    if (ADVERSARIAL_QUERY in queries) != (adversarial is not None):
        raise InputError(
            f"queries is {list(queries)} and adversarial is {adversarial!r}: the query 'adversarial' goes with its "
            "attack, pass both or neither"
        )
