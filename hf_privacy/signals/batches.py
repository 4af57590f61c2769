"""The one loop over a dataset that every signal is computed by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, extract_model_from_parallel, gather_object

from hf_privacy.arguments import check_whole
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models.modes import evaluation_mode, without_autocast, without_tf32
from hf_privacy.progress import progress as with_progress

TOKENS_A_PASS = 16_384
_PIXELS_A_PASS = 2**23  # values: 55 images of 224 × 224, whose activations take a gigabyte


def map_batches(
    model: torch.nn.Module,
    dataset: TensorDataset,
    compute: Callable[[torch.nn.Module, Mapping[str, torch.Tensor], torch.device], np.ndarray],
    *,
    batch_size: int,
    accelerator: Accelerator | AcceleratorState | None,
    progress: bool,
    description: str,
    axis: int = -1,
) -> np.ndarray:
    """What `compute` gives for the batches of `dataset`, joined in the dataset's order, complete in every process.

    The model is in evaluation mode and the precision of its weights; each process takes whole batches from
    one contiguous stretch, cut the same way for any number of processes, so no example is seen twice or padded in.

    Parameters
    ----------
    model, dataset, batch_size, accelerator, progress
        As in :func:`~hf_privacy.signals.compute_signals`; a training augmentation of the dataset is left out.
        A callback, which has no accelerator at hand, passes accelerate's state.
    compute : callable
        Gets the model, a batch on the CPU and the device to work on. Whether gradients are wanted is its own affair.
    description : str
        Of the progress bar.
    axis : int, default -1
        Of the examples, in what `compute` gives.

    Raises
    ------
    InputError
        For an empty dataset, a batch size below 1, or a model sharded over processes.
    """
    if len(dataset) == 0:
        raise InputError("dataset is empty: pass at least one example")
    batch_size = check_whole("batch_size", batch_size, at_least=1)
    if "pixel_values" in dataset.column_names:
        dataset = dataset.with_augmentation(None)  # a training dataset may carry one; queries are fixed views
        batch_size = images_a_pass(dataset, batch_size)
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
        model = extract_model_from_parallel(model, keep_torch_compile=True).to(device)
        starts = _share(starts, accelerator.process_index, accelerator.num_processes)

    show = progress and (accelerator is None or accelerator.is_main_process)
    batches: list[np.ndarray] = []
    with evaluation_mode(model), without_autocast(model), without_tf32():
        for start in with_progress(starts, description=description, enabled=show):
            batch = dataset.__getitems__(list(range(start, min(start + batch_size, len(dataset)))))
            batches.append(compute(model, batch, device))
    if accelerator is not None and accelerator.num_processes > 1:
        batches = gather_object(batches)  # ranks in order, so batches in order
    return np.concatenate(batches, axis=axis)


def rows_a_pass(dataset: TensorDataset, batch_size: int) -> int:
    """`batch_size`; where rows of tokens are scored token by token, no more of them than make `TOKENS_A_PASS`.

    Examples
    --------
    >>> import torch
    >>> rows_a_pass(TensorDataset({"labels": torch.zeros(3, 4096, dtype=torch.int64)}), 256)
    4
    >>> rows_a_pass(TensorDataset({"labels": torch.zeros(3, dtype=torch.int64)}), 256)
    256
    """
    if "labels" not in dataset.column_names or not dataset.row_shape("labels"):
        return batch_size
    return max(1, min(batch_size, TOKENS_A_PASS // max(1, dataset.row_shape("labels")[0])))


def images_a_pass(dataset: TensorDataset, batch_size: int) -> int:
    """`batch_size`, or fewer where images are so large that memory would hold a great many values at once.

    Examples
    --------
    >>> import torch
    >>> images_a_pass(TensorDataset({"pixel_values": torch.zeros(1, 3, 32, 32)}), 512)
    512
    >>> images_a_pass(TensorDataset({"pixel_values": torch.zeros(1, 3, 224, 224)}), 512)
    55
    """
    return max(1, min(batch_size, _PIXELS_A_PASS // math.prod(dataset.row_shape("pixel_values"))))


def refuse_unlabelled(dataset: TensorDataset, what: str) -> None:
    """Refuse a dataset without labels, for `what` needs them ("a distance needs").

    Raises
    ------
    InputError
    """
    if "labels" not in dataset.column_names:
        raise InputError(f"dataset has the columns {sorted(dataset.column_names)}: {what} a labels column")


def _share(starts: range, process_index: int, num_processes: int) -> range:
    first = len(starts) * process_index // num_processes
    last = len(starts) * (process_index + 1) // num_processes
    return starts[first:last]


def _device_of(model: torch.nn.Module) -> torch.device:
    for parameter in model.parameters():
        return parameter.device
    return torch.device("cpu")
