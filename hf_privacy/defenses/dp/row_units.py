"""Which rows of a batch are clipped together."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Units:
    """Which rows of a batch one clipped gradient is the mean over: each alone, or those of a group together.

    Attributes
    ----------
    rows : int64 tensor of shape [U, G]
        Row numbers of each unit's rows, filled up with the number of rows, B.
    shares : tensor of shape [B]
        One over the number of rows in a row's unit.
    """

    rows: torch.Tensor
    shares: torch.Tensor

    @classmethod
    def of(cls, numbers: torch.Tensor) -> Units:
        """Those of each row's unit, int64 [B], counted from 0.

        Examples
        --------
        >>> units = Units.of(torch.tensor([0, 1, 0]))
        >>> units.rows, units.shares
        (tensor([[0, 2],
                [1, 3]]), tensor([0.5000, 1.0000, 0.5000]))
        """
        counts = torch.bincount(numbers)
        order = torch.argsort(numbers, stable=True)
        rows = numbers.new_full((len(counts), int(counts.max())), len(numbers))
        rows[torch.arange(rows.shape[1], device=rows.device) < counts[:, None]] = order
        return cls(rows, 1 / counts[numbers].float())

    def joined(self, values: torch.Tensor) -> torch.Tensor:
        """Positions of a unit's rows one after another, with zeros where it has fewer: [B, T, D] to [U, G·T, D]."""
        return self.padded(values).flatten(1, 2)

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Sums over a unit's rows: [B, ...] to [U, ...]."""
        return self.padded(values).sum(dim=1)

    def padded(self, values: torch.Tensor) -> torch.Tensor:
        """A unit's rows, filled up with zeros: [B, ...] to [U, G, ...]."""
        return torch.cat([values, values.new_zeros(1, *values.shape[1:])])[self.rows]
