"""One pass of a model over a dataset gives every signal of every example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, gather_object

from hf_privacy.data import TensorDataset
from hf_privacy.data.augment import horizontal_flip
from hf_privacy.errors import InputError
from hf_privacy.progress import progress as with_progress
from hf_privacy.signals.scores import SIGNAL_NAMES, signals_from_logits

QUERY_NAMES = ("identity", "flip")


def compute_signals(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    batch_size: int = 256,
    queries: Sequence[str] = ("identity",),
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> dict[str, np.ndarray]:
    """Signals of every example of `dataset` under `model`, in the dataset's order.

    The model runs in evaluation mode, without gradients or augmentation, and each module gets its own mode back
    afterwards. Labels are not passed to the model: signals come from its logits alone, so a smoothed, defended or
    rescaled training loss cannot leak into the audit. With an accelerator of several processes each takes whole
    batches from one contiguous stretch of the dataset (every example once, no padding), and all of them get the
    complete arrays; because batches are cut the same way for any number of processes, the values are the same too.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` of shape [batch, C].
    dataset : TensorDataset of N examples
        Has a ``labels`` column; every other column is given to the model.
    batch_size : int
        Examples per forward pass.
    queries : sequence of str
        Views of each example to ask the model about: ``"identity"`` and, for images, ``"flip"`` (left to right).
    accelerator : accelerate.Accelerator, optional
        Spreads the work over its processes and moves the model to its device; every process must make this call.
        Without one this process does all the work, on the device the model is on.
    progress : bool
        Show a progress bar (main process only).

    Returns
    -------
    dict of str to float64 array of shape [Q, N]
        One array for each name of ``SIGNAL_NAMES``, rows in the order of `queries`.

    Raises
    ------
    InputError
        For an empty dataset, one without labels, an unknown or repeated query, ``"flip"`` on data without images, a
        model sharded over processes, or logits that are not finite.

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
    _check(dataset, queries)

    def signals_of(model: torch.nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        return _batch_signals(model, batch, queries, device)  # [S, Q, batch]

    batches = map_batches(
        model,
        dataset,
        signals_of,
        batch_size=batch_size,
        accelerator=accelerator,
        progress=progress,
        description="signals",
    )
    table = np.concatenate(batches, axis=2)
    return {name: np.ascontiguousarray(table[row]) for row, name in enumerate(SIGNAL_NAMES)}


def map_batches(
    model: torch.nn.Module,
    dataset: TensorDataset,
    compute: Callable[[torch.nn.Module, Mapping[str, torch.Tensor], torch.device], np.ndarray],
    *,
    batch_size: int,
    accelerator: Accelerator | None,
    progress: bool,
    description: str,
) -> list[np.ndarray]:
    """What `compute` gives for each batch of `dataset`, in the dataset's order, complete in every process.

    The one loop every signal is computed by. The model is in evaluation mode; each process takes whole batches from
    one contiguous stretch, cut the same way for any number of processes, so no example is seen twice or padded in.

    Parameters
    ----------
    model, dataset, batch_size, accelerator, progress
        As in :func:`compute_signals`; a training augmentation of the dataset is left out.
    compute : callable
        Gets the model, a batch on the CPU and the device to work on. Whether gradients are wanted is its own affair.
    description : str
        Of the progress bar.

    Raises
    ------
    InputError
        For an empty dataset, a batch size below 1, or a model sharded over processes.
    """
    if len(dataset) == 0:
        raise InputError("dataset is empty: pass at least one example")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}: pass a positive number")
    if "pixel_values" in dataset.column_names:
        dataset = dataset.with_augmentation(None)  # a training dataset may carry one; queries are fixed views
    starts = range(0, len(dataset), batch_size)
    if accelerator is None:
        device = _device_of(model)
    else:
        if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
            raise InputError(
                f"accelerator shards the model ({accelerator.distributed_type.value}): gather it first with "
                "accelerator.get_state_dict, or compute signals from the saved model"
            )
        device = accelerator.device
        model = accelerator.unwrap_model(model, keep_torch_compile=True).to(device)
        starts = _share(starts, accelerator.process_index, accelerator.num_processes)

    show = progress and (accelerator is None or accelerator.is_main_process)
    batches: list[np.ndarray] = []
    with evaluation_mode(model):
        for start in with_progress(starts, description=description, enabled=show):
            batch = dataset.__getitems__(list(range(start, min(start + batch_size, len(dataset)))))
            batches.append(compute(model, batch, device))
    if accelerator is not None and accelerator.num_processes > 1:
        batches = gather_object(batches)  # ranks in order, so batches in order
    return batches


def average_queries(signals: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean of each signal over its queries: arrays of shape [Q, N] become [N].

    Examples
    --------
    >>> average_queries({"phi": np.array([[1.0, 2.0], [3.0, 4.0]])})["phi"].tolist()
    [2.0, 3.0]
    """
    return {name: values.mean(axis=0) for name, values in signals.items()}


@contextmanager
def evaluation_mode(model: torch.nn.Module) -> Iterator[None]:
    """Put `model` in evaluation mode; on leaving, every module gets back the mode it had (frozen parts stay frozen).

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm1d(2).eval()).train(True)
    >>> _ = model[1].eval()
    >>> with evaluation_mode(model):
    ...     model[0].training
    False
    >>> model[0].training, model[1].training
    (True, False)
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.inference_mode()
def _batch_signals(
    model: torch.nn.Module, batch: Mapping[str, torch.Tensor], queries: Sequence[str], device: torch.device
) -> np.ndarray:
    inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
    rows = []
    for query in queries:
        views = inputs if query == "identity" else {**inputs, "pixel_values": horizontal_flip(inputs["pixel_values"])}
        logits = model(**views).logits.cpu()  # float64 does not exist on every accelerator
        signals = signals_from_logits(logits, batch["labels"])
        rows.append(np.stack([signals[name].numpy() for name in SIGNAL_NAMES]))
    return np.stack(rows, axis=1)


def _share(starts: range, process_index: int, num_processes: int) -> range:
    first = len(starts) * process_index // num_processes
    last = len(starts) * (process_index + 1) // num_processes
    return starts[first:last]


def _device_of(model: torch.nn.Module) -> torch.device:
    for parameter in model.parameters():
        return parameter.device
    return torch.device("cpu")


def _check(dataset: TensorDataset, queries: Sequence[str]) -> None:
    columns = dataset.column_names
    if "labels" not in columns:
        raise InputError(f"dataset has the columns {sorted(columns)}: signals need a labels column")
    unknown = [query for query in queries if query not in QUERY_NAMES]
    if unknown or not queries or len(set(queries)) < len(queries):
        raise InputError(f"queries is {list(queries)}: pass one or more of {list(QUERY_NAMES)}, each once")
    if "flip" in queries and "pixel_values" not in columns:
        raise InputError(
            f"queries has 'flip' and dataset the columns {sorted(columns)}: flip is for images (pixel_values), "
            'use queries=("identity",)'
        )
