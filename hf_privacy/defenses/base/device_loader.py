"""Batches that come to a trainer on its device, and are scaled and augmented there.

A step of a small network on a GPU is as short as the copy of its batch: the host that gathers, scales, augments and
copies 256 images keeps the device waiting for as long again. Here the rows lie on the device where they fit, a batch
is gathered there by its row numbers, and the host goes on to the next step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from hf_privacy.data import TensorDataset

_SHARE = 1 / 8  # of the device's free memory, that the rows may take
_BLOCK = 2**26  # bytes that are copied at a time


def can_be_made_on(device: torch.device, dataset: Any) -> bool:
    """Whether batches of these rows can be made on the device: it is no CPU, and nothing of a row is read on the host.

    Padded rows are cut to the longest of their batch, and what masks nothing is left out, before they are sent.
    """
    return (
        device.type not in ("cpu", "mps")
        and isinstance(dataset, TensorDataset)
        and type(dataset).__getitems__ is TensorDataset.__getitems__
        and "attention_mask" not in dataset.column_names
    )


class DeviceLoader(DataLoader):
    """A `DataLoader` of a `TensorDataset` in this process, whose batches are on a device: the same to the bit.

    Random augmentation draws on the host, from the same generator in the same order as without this.

    Parameters
    ----------
    dataset : TensorDataset
    device : torch.device
    **settings
        As of `DataLoader`, with a ``batch_sampler`` and without workers.

    Examples
    --------
    >>> dataset = TensorDataset({"features": torch.arange(4.0), "labels": torch.arange(4)})
    >>> loader = DeviceLoader(dataset, torch.device("cpu"), batch_sampler=[[2, 0]])
    >>> next(iter(loader))
    {'features': tensor([2., 0.]), 'labels': tensor([2, 0])}
    """

    def __init__(self, dataset: TensorDataset, device: torch.device, **settings: Any) -> None:
        super().__init__(dataset, **settings)
        self.device = device
        self._rows = dataset.unscaled()
        self._there = _copied(self._rows, device) if _fits(self._rows, device) else None

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:  # type: ignore[override]
        # As every loader does, so that what is drawn afterwards, by dropout say, is the same.
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        return map(self._batch, self.batch_sampler)

    def _batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        if self._there is None:
            batch = {name: self._sent(values) for name, values in self._rows.__getitems__(rows).items()}
        else:
            places = self._sent(torch.tensor(rows, dtype=torch.int64))
            batch = {name: values.index_select(0, places) for name, values in self._there.items()}
        return self._rows.finish(batch)

    def _sent(self, values: torch.Tensor) -> torch.Tensor:
        if self.pin_memory:
            values = values.pin_memory()
        return values.to(self.device, non_blocking=True)


def _bytes_of(dataset: TensorDataset) -> int:
    """Of all rows as they are stored."""
    if len(dataset) == 0:
        return 0
    return len(dataset) * sum(values.numel() * values.element_size() for values in dataset.__getitems__([0]).values())


def _fits(dataset: TensorDataset, device: torch.device) -> bool:
    """Whether the rows take no more than a share of what is free on the device."""
    free = getattr(getattr(torch, device.type, None), "mem_get_info", None)
    return free is not None and _bytes_of(dataset) <= _SHARE * free(device)[0]


def _copied(dataset: TensorDataset, device: torch.device) -> dict[str, torch.Tensor]:
    """All columns on the device, a block of rows at a time."""
    n_rows = len(dataset)
    step = max(1, math.floor(_BLOCK * n_rows / max(1, _bytes_of(dataset))))
    there: dict[str, torch.Tensor] = {}
    for start in range(0, n_rows, step):
        rows = np.arange(start, min(start + step, n_rows))
        for name, values in dataset.__getitems__(rows).items():
            if name not in there:
                there[name] = torch.empty((n_rows, *values.shape[1:]), dtype=values.dtype, device=device)
            there[name][start : start + len(rows)].copy_(values)
    return there
