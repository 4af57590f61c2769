"""Columns of a `TensorDataset` that are no tensor in memory: rows are made into one when they are asked for.

Each has ``shape`` and ``dtype`` of the whole, and ``take(rows, width, side)``: the rows int64[B] as a new tensor, with
`width` of a sequence's places where given, those on its padded `side` left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from hf_privacy.data.encoded_store import StoredArray
from hf_privacy.data.pixel_levels import Levels


class Column(Protocol):
    """What all of them have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of what `take` gives."""
        ...

    def take(self, rows: np.ndarray, width: int | None = None, side: str | None = None) -> torch.Tensor:
        """These rows."""
        ...


class MappedRows:
    """Rows of a stored array as they are."""

    def __init__(self, array: StoredArray) -> None:
        self.array = array
        self.shape = array.values.shape
        self.dtype = torch.from_numpy(np.empty(0, array.values.dtype)).dtype

    def take(self, rows: np.ndarray, width: int | None = None, side: str | None = None) -> torch.Tensor:
        """These rows."""
        return torch.from_numpy(self.array.values[rows])


class LevelRows:
    """Pixels of which the levels are stored, uint8 [N, C, H, W]: float32 as the processor gives them."""

    dtype = torch.float32

    def __init__(self, array: StoredArray, levels: Levels) -> None:
        self.array = array
        self.levels = levels
        self.shape = array.values.shape

    def take(self, rows: np.ndarray, width: int | None = None, side: str | None = None) -> torch.Tensor:
        """These rows, scaled and normalised."""
        return self.levels(self.take_levels(rows))

    def take_levels(self, rows: np.ndarray) -> torch.Tensor:
        """The levels of these rows, uint8: `levels` makes them pixels, on whatever device they are."""
        return torch.from_numpy(self.array.values[rows])


class TokenRows:
    """Rows of tokens stored one behind the other, int64 [N, longest] once they are padded.

    Parameters
    ----------
    flat : StoredArray or array of [T], optional
        Ones without: a mask.
    offsets : int64[N + 1]
    padding : int
    side : {"right", "left"}
        On which rows are padded.
    where : StoredArray or array of bool[T], optional
        Where the values count; elsewhere they are `padding`.
    """

    dtype = torch.int64

    def __init__(
        self,
        flat: StoredArray | np.ndarray | None,
        offsets: np.ndarray,
        *,
        padding: int,
        side: str,
        where: StoredArray | np.ndarray | None = None,
    ) -> None:
        self.flat, self.offsets, self.padding, self.side, self.where = flat, offsets, padding, side, where
        lengths = np.diff(offsets)
        self.shape = (len(lengths), max(1, int(lengths.max(initial=0))))

    def take(self, rows: np.ndarray, width: int | None = None, side: str | None = None) -> torch.Tensor:
        """These rows, padded to `width` places, by default to the longest of all."""
        width = self.shape[1] if width is None else width
        starts, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        places = np.arange(width)
        places = places if self.side == "right" else places[::-1]
        there = places < lengths[:, None]
        padded = np.full((len(rows), width), self.padding, dtype=np.int64)
        if self.flat is None:
            padded[there] = 1
            return torch.from_numpy(padded)
        ends = np.cumsum(lengths)
        # Row by row, as a mask reads them.
        spread = np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)
        values = _values(self.flat)[spread]
        padded[there] = values if self.where is None else np.where(_values(self.where)[spread], values, self.padding)
        return torch.from_numpy(padded)


def stored_or_in_memory(columns: Mapping[str, TokenRows]) -> Mapping[str, Column | torch.Tensor]:
    """Columns that are stored as they are; all rows of others, padded, as tensors."""
    if any(isinstance(column.flat, StoredArray) for column in columns.values()):
        return columns
    return {name: column.take(np.arange(column.shape[0])) for name, column in columns.items()}


class ChosenRows:
    """Some rows of another column, in this order."""

    def __init__(self, column: Column | torch.Tensor, rows: np.ndarray) -> None:
        self.column, self.rows = column, rows
        self.shape = (len(rows), *column.shape[1:])
        self.dtype = column.dtype

    def take(self, rows: np.ndarray, width: int | None = None, side: str | None = None) -> torch.Tensor:
        """These rows."""
        return take(self.column, self.rows[rows], width, side)


class JoinedRows:
    """The rows of several columns of one shape and type, one column behind the other."""

    def __init__(self, columns: Sequence[Column | torch.Tensor]) -> None:
        self.columns = tuple(columns)
        self.starts = np.cumsum([0, *(column.shape[0] for column in columns)])
        self.shape = (int(self.starts[-1]), *columns[0].shape[1:])
        self.dtype = columns[0].dtype

    def take(self, rows: np.ndarray, width: int | None = None, side: str | None = None) -> torch.Tensor:
        """These rows."""
        part = np.searchsorted(self.starts, rows, side="right") - 1
        found = None
        for number, column in enumerate(self.columns):
            places = np.flatnonzero(part == number)
            if len(places) or found is None:
                values = take(column, rows[places] - self.starts[number], width, side)
                if found is None:
                    found = torch.empty((len(rows), *values.shape[1:]), dtype=self.dtype)
                found[torch.from_numpy(places)] = values
        assert found is not None
        return found


def _values(array: StoredArray | np.ndarray) -> np.ndarray:
    return array.values if isinstance(array, StoredArray) else array


def take(
    column: Column | torch.Tensor, rows: np.ndarray, width: int | None = None, side: str | None = None
) -> torch.Tensor:
    """A copy of these rows. NumPy copies on one thread; torch's own would wait for threads that busy cores delay."""
    if not isinstance(column, torch.Tensor):
        return column.take(rows, width, side)
    if width is not None:
        column = column[:, :width] if side == "right" else column[:, column.shape[1] - width :]
    return torch.from_numpy(column.numpy()[rows])
