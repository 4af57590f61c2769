"""Input curvature of every example of a dataset."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals.batches import map_batches, refuse_unlabelled, rows_a_pass
from hf_privacy.signals.curvature import Curvature
from hf_privacy.signals.curvature_estimators import RESULTS


def compute_curvature(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    curvature: Curvature,
    batch_size: int = 256,
    accelerator: Accelerator | AcceleratorState | None = None,
    progress: bool = False,
) -> dict[str, np.ndarray]:
    """:func:`input_curvature` of every example of `dataset`, in the dataset's order.

    The model is put in evaluation mode and back; each example is seen once and without training augmentation, whatever
    the number of processes, and all batches share their random vectors.

    Parameters
    ----------
    model : torch.nn.Module
        As in :func:`input_curvature`, in any mode.
    dataset : TensorDataset of N examples, with labels
        Of a causal language model as `hf_privacy.data.encode_language` makes it.
    curvature : Curvature
    batch_size : int
        Examples at a time; changes values by rounding alone. Of a language model no more than make
        `hf_privacy.signals.batches.TOKENS_A_PASS` tokens.
    accelerator : accelerate.Accelerator, optional
        Spreads the work over its processes; every process must make this call and gets the complete arrays.
    progress : bool
        Show a progress bar (main process only).

    Returns
    -------
    dict of str to float64 array [N]
        As :func:`input_curvature`.

    Raises
    ------
    InputError
        As :func:`input_curvature`; for an empty dataset, one without labels, or a model sharded over processes.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    >>> dataset = TensorDataset({"features": torch.eye(4), "labels": torch.tensor([0, 1, 2, 0])})
    >>> compute_curvature(model, dataset, curvature=Curvature(n_vectors=3))["trace"].shape
    (4,)
    """
    if not isinstance(curvature, Curvature):
        raise InputError(f"curvature is {curvature!r}: pass Curvature(n_vectors=…)")
    refuse_unlabelled(dataset, "curvature needs")

    def values_of(model: torch.nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
        found = curvature(model, inputs, batch["labels"])
        return np.stack([found[name].cpu().numpy().astype(np.float64) for name in RESULTS[curvature.method]])

    table = map_batches(
        model,
        dataset,
        values_of,
        batch_size=rows_a_pass(dataset, batch_size),
        accelerator=accelerator,
        progress=progress,
        description="curvature",
    )
    return {name: table[row] for row, name in enumerate(RESULTS[curvature.method])}
