"""A dataset that is already tensors: a batch costs one copy of its rows per column.

With images decoded and transformed once, an epoch of a small model is spent on the model and not on the loader.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from hf_privacy.arrays import row_numbers
from hf_privacy.data.stored_columns import ChosenRows, Column, JoinedRows, LevelRows, take
from hf_privacy.errors import InputError

Batch = dict[str, torch.Tensor]
Rows = Sequence[int] | np.ndarray | torch.Tensor
_BLOCK = 4096  # rows that a digest names together
_PIECE = 2**24  # bytes of a column in memory at a time, where it is read in pieces


class TensorDataset(Dataset):
    """Tensors of equal length, fetched by whole batches (`__getitems__`, which torch's DataLoader calls).

    A plain DataLoader needs ``collate_fn=collate_batch``, since a fetched batch is collated already. What
    `hf_privacy.data.encode_images` and its like encoded lies on the disk (`hf_privacy.data.encoded_store`), and a
    batch alone is in memory; `column` brings a whole column there, `pieces` a part at a time.

    Parameters
    ----------
    tensors : mapping of str to tensor[N, ...]
        On the CPU: model inputs by the name the model knows them under, and "labels". Stored columns too, of
        `hf_privacy.data.stored_columns`.
    padding_side : {"right", "left"}, optional
        For padded text with an "attention_mask": a batch is trimmed to its longest row on this side.
    sequence_columns : sequence of str
        The tensors [N, length] that are trimmed.
    texts : sequence of str, optional
        Of N rows of text, what is scored of each, as it was given.
    truncated : bool[N], optional
        Which rows were cut to fit.
    token_counts : int64[N], optional
        Of padded text, how many places of each row are attended to; counted in "attention_mask" without.

    Raises
    ------
    InputError
        No tensors, or tensors, texts or marks of different lengths.

    Examples
    --------
    >>> dataset = TensorDataset({"features": torch.arange(6.0).reshape(3, 2), "labels": torch.tensor([0, 1, 0])})
    >>> dataset.__getitems__([2, 0])
    {'features': tensor([[4., 5.], [0., 1.]]), 'labels': tensor([0, 0])}
    >>> len(dataset.subset([1])), dataset.column_names
    (1, ['features', 'labels'])
    """

    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor | Column],
        *,
        padding_side: str | None = None,
        sequence_columns: Sequence[str] = (),
        texts: Sequence[str] | None = None,
        truncated: np.ndarray | None = None,
        token_counts: np.ndarray | None = None,
    ) -> None:
        lengths = {name: tensor.shape[0] for name, tensor in tensors.items()}
        beside = {"texts": texts, "truncated": truncated}
        lengths |= {name: len(values) for name, values in beside.items() if values is not None}
        if len(set(lengths.values())) != 1:
            raise InputError(f"tensors has the lengths {lengths}: pass at least one tensor, all of one length")
        self._tensors = dict(tensors)
        self._padding_side = padding_side
        self._sequence_columns = tuple(sequence_columns)
        self._unscaled = False
        if padding_side and token_counts is None:
            every = np.arange(tensors["attention_mask"].shape[0])
            token_counts = take(tensors["attention_mask"], every).sum(dim=1).numpy()
        self._token_counts = token_counts if padding_side else None
        self._texts = None if texts is None else list(texts)
        self._truncated = None if truncated is None else np.asarray(truncated, dtype=bool)
        self._groups: np.ndarray | None = None
        self._rows: np.ndarray | None = None
        self._paraphrases_at: int | None = None  # where a row's paraphrase lies behind it
        self._augmentation: Callable[[torch.Tensor], torch.Tensor] | None = None

    @property
    def column_names(self) -> list[str]:
        """Names of the tensors."""
        return list(self._tensors)

    @property
    def texts(self) -> list[str] | None:
        """What is scored of each row of this view, as it was given; None for what is no text of a language model.

        Examples
        --------
        >>> TensorDataset({"labels": torch.arange(3)}, texts=["a", "b", "c"]).subset([2, 0]).texts
        ['c', 'a']
        """
        if self._texts is None or self._rows is None:
            return self._texts
        return [self._texts[row] for row in self._rows.tolist()]

    @property
    def truncated(self) -> int | None:
        """How many rows of this view were cut to fit; None where nobody counted."""
        if self._truncated is None:
            return None
        return int((self._truncated if self._rows is None else self._truncated[self._rows]).sum())

    @property
    def groups(self) -> np.ndarray | None:
        """Number of the group of each row of this view, int64[N]; None where `with_groups` gave none."""
        return self._groups if self._groups is None or self._rows is None else self._groups[self._rows]

    @property
    def padding_side(self) -> str | None:
        """The side on which rows of tokens are padded, "right" or "left"; None where they are not."""
        return self._padding_side

    @property
    def augmentation(self) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """What `with_augmentation` was given; None without."""
        return self._augmentation

    @property
    def row_classes(self) -> np.ndarray | None:
        """The class of each row, int64[N]; None where "labels" are none or a sequence of tokens.

        Examples
        --------
        >>> TensorDataset({"labels": torch.tensor([1, 0])}).row_classes
        array([1, 0])
        >>> TensorDataset({"labels": torch.tensor([[5, 7]])}).row_classes is None
        True
        """
        if "labels" not in self._tensors or len(self._tensors["labels"].shape) != 1:
            return None
        return self.column("labels").numpy()

    @property
    def has_paraphrase(self) -> np.ndarray | None:
        """Which rows of this view have a paraphrase, one that is other than they are: bool[N]; None without any.

        Examples
        --------
        >>> both = TensorDataset({"input_ids": torch.tensor([[1], [2], [3], [2]])})
        >>> both.halved().has_paraphrase
        array([ True, False])
        """
        if self._paraphrases_at is None:
            return None
        others = self.paraphrased(np.ones(len(self), dtype=bool))
        differs = [
            (self.column(name) != others.column(name)).reshape(len(self), -1).any(dim=1) for name in self.column_names
        ]
        return np.asarray(torch.stack(differs).any(dim=0).numpy())

    def halved(self) -> TensorDataset:
        """The first half of the rows, whose paraphrases are the second half, in the same order.

        A row without one is its own.

        Raises
        ------
        InputError
            For an odd number of rows, or rows of a view.
        """
        if len(self) % 2 or self._rows is not None:
            raise InputError(f"the dataset has {len(self)} rows: pass one that is no view, and as many paraphrases")
        half = self.subset(np.arange(len(self) // 2))
        half._paraphrases_at = len(self) // 2
        return half

    def paraphrased(self, where: np.ndarray) -> TensorDataset:
        """A view in which the rows at `where`, bool[N], are their paraphrases.

        Raises
        ------
        InputError
            Without paraphrases (see `halved`).

        Examples
        --------
        >>> both = TensorDataset({"input_ids": torch.tensor([[1], [2], [3], [2]])})
        >>> both.halved().paraphrased(np.array([True, False])).column("input_ids").flatten()
        tensor([3, 2])
        """
        if self._paraphrases_at is None or self._rows is None:
            raise InputError("the dataset has no paraphrases: encode it with paraphrase_column")
        view = self._copy()
        view._rows = self._rows + self._paraphrases_at * np.asarray(where, dtype=bool)
        view._paraphrases_at = None
        return view.with_groups(self.groups)

    def column(self, name: str) -> torch.Tensor:
        """The whole tensor of that name, in the rows of this view, untrimmed and unaugmented."""
        values = self._column(name)
        if self._rows is not None:
            return take(values, self._rows)
        return values if isinstance(values, torch.Tensor) else take(values, np.arange(values.shape[0]))

    def row_shape(self, name: str) -> tuple[int, ...]:
        """Shape of one row of that column, untrimmed.

        Examples
        --------
        >>> TensorDataset({"features": torch.zeros(3, 5)}).row_shape("features")
        (5,)
        """
        return tuple(self._column(name).shape[1:])

    def dtype(self, name: str) -> torch.dtype:
        """Type of that column's values."""
        return self._column(name).dtype

    def pieces(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[torch.Tensor]:
        """The rows from `start` to `stop` of that column, as `column` has them, some megabytes at a time.

        Examples
        --------
        >>> dataset = TensorDataset({"labels": torch.tensor([4, 5, 6])})
        >>> torch.cat(list(dataset.pieces("labels", 1)))
        tensor([5, 6])
        """
        stop = len(self) if stop is None else stop
        row_bytes = self.dtype(name).itemsize * math.prod(self.row_shape(name))
        step = max(1, _PIECE // max(1, row_bytes))
        values = self._column(name)
        for first in range(start, stop, step):
            rows = np.arange(first, min(first + step, stop))
            yield take(values, rows if self._rows is None else self._rows[rows])

    def _column(self, name: str) -> torch.Tensor | Column:
        if name not in self._tensors:
            raise InputError(f"column is {name!r} and the dataset has {', '.join(self._tensors)}")
        return self._tensors[name]

    def __len__(self) -> int:
        """Number of rows."""
        return next(iter(self._tensors.values())).shape[0] if self._rows is None else len(self._rows)

    def __getitem__(self, index: int) -> Batch:
        """One row, untrimmed, so that rows of different lengths can be stacked."""
        row = range(len(self))[index]  # IndexError past the end ends a `for` loop
        row = row if self._rows is None else int(self._rows[row])
        batch = self._finished(
            {
                name: column[row : row + 1] if isinstance(column, torch.Tensor) else self._take(name, np.array([row]))
                for name, column in self._tensors.items()
            }
        )
        return {name: tensor[0] for name, tensor in batch.items()}

    def __getitems__(self, indices: Rows) -> Batch:
        """A batch: a dictionary of tensors with one row for each index; no index gives tensors of length 0."""
        rows = np.asarray(indices, dtype=np.int64)
        if self._rows is not None:
            rows = self._rows[rows]
        longest = self._longest(rows)
        return self._finished(
            {
                name: self._take(name, rows, longest if name in self._sequence_columns else None)
                for name in self._tensors
            }
        )

    def subset(self, indices: Rows) -> TensorDataset:
        """A view of these rows, in this order, without a copy of the tensors.

        Raises
        ------
        InputError
            For indices that are no row numbers of this view.
        """
        rows = row_numbers("indices", indices, below=len(self)).copy()  # a view must not change with the caller's
        view = self._copy()
        view._rows = rows if self._rows is None else self._rows[rows]
        return view

    def shared_rows(self, other: TensorDataset) -> int:
        """How many rows both views hold of the same tensors; 0 for views of different ones.

        Examples
        --------
        >>> dataset = TensorDataset({"labels": torch.arange(4)})
        >>> dataset.subset([0, 1, 2]).shared_rows(dataset.subset([2, 3]))
        1
        """
        if any(self._tensors.get(name) is not tensor for name, tensor in other._tensors.items()):
            return 0
        mine, theirs = (np.arange(len(view)) if view._rows is None else view._rows for view in (self, other))
        return len(np.intersect1d(mine, theirs))

    def digest(self) -> str:
        """SHA-256 of the tensors themselves, texts and paraphrases: another processor or size is other data."""
        parts = [self._block_digest(start, min(start + _BLOCK, len(self))) for start in range(0, len(self), _BLOCK)]
        parts += [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in self.texts or ()]
        if self._paraphrases_at is not None:
            parts.append(self.paraphrased(np.ones(len(self), dtype=bool)).digest())
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def column_digest(self, name: str) -> str:
        """`tensors_digest` of one column by its name, of which a piece alone is in memory."""
        return self._block_digest(0, len(self), [name])

    def _block_digest(self, start: int, stop: int, names: Sequence[str] | None = None) -> str:
        digest = hashlib.sha256()
        for name in sorted(self.column_names if names is None else names):
            _update_header(digest, name, (stop - start, *self.row_shape(name)), self.dtype(name))
            for piece in self.pieces(name, start, stop):
                _update_bits(digest, piece)
        return digest.hexdigest()

    def with_tensors(
        self, tensors: Mapping[str, torch.Tensor | Column], *, texts: Sequence[str] | None = None
    ) -> TensorDataset:
        """A dataset of other tensors of the same names, trimmed as this one is and without augmentation.

        Its texts are the given ones, and it has no paraphrases: those of this dataset belong to its own rows.

        Raises
        ------
        InputError
            For other names, or tensors of different lengths.
        """
        if set(tensors) != set(self._tensors):
            raise InputError(f"tensors has {', '.join(tensors)}: pass {', '.join(self._tensors)}, as in this dataset")
        return TensorDataset(
            tensors, padding_side=self._padding_side, sequence_columns=self._sequence_columns, texts=texts
        )

    def with_column(self, name: str, values: torch.Tensor) -> TensorDataset:
        """The same rows with other values in one column, without a copy of the others; augmentation and texts go.

        Raises
        ------
        InputError
            For an unknown column, or another number of values.

        Examples
        --------
        >>> dataset = TensorDataset({"features": torch.eye(3), "labels": torch.tensor([0, 1, 2])})
        >>> dataset.subset([2, 0]).with_column("labels", torch.tensor([7, 8])).__getitems__([0])
        {'features': tensor([[0., 0., 1.]]), 'labels': tensor([7])}
        """
        self._column(name)
        return self.with_tensors({other: self._rows_of(other) for other in self.column_names} | {name: values})

    def joined(self, *others: TensorDataset) -> TensorDataset:
        """The rows of this dataset, then those of others with the same columns, without a copy of what is stored.

        It has no augmentation, groups, texts or paraphrases.

        Raises
        ------
        InputError
            For other columns, or rows of another shape.

        Examples
        --------
        >>> one = TensorDataset({"labels": torch.tensor([0, 1])})
        >>> one.joined(one.subset([1])).column("labels")
        tensor([0, 1, 1])
        """
        parts = (self, *others)
        for name in self.column_names:
            shapes = {part.row_shape(name) for part in parts}
            if len(shapes) > 1:
                raise InputError(f"column {name!r} has rows of the shapes {sorted(shapes)}: pass rows of one shape")
        return self.with_tensors({name: _joined([part._rows_of(name) for part in parts]) for name in self._tensors})

    def _rows_of(self, name: str) -> torch.Tensor | Column:
        values = self._column(name)
        if self._rows is None:
            return values
        return take(values, self._rows) if isinstance(values, torch.Tensor) else ChosenRows(values, self._rows)

    def with_groups(self, groups: np.ndarray | None) -> TensorDataset:
        """A view whose rows come in groups, such as those of one author; its own views keep theirs.

        Parameters
        ----------
        groups : int64[N], optional
            None takes them away.

        Raises
        ------
        InputError
            For another number of rows.

        Examples
        --------
        >>> dataset = TensorDataset({"labels": torch.arange(3)}).with_groups(np.array([4, 4, 9]))
        >>> dataset.subset([2, 0]).groups
        array([9, 4])
        """
        view = self._copy()
        if groups is None:
            view._groups = None
            return view
        if len(groups) != len(self):
            raise InputError(f"groups has {len(groups)} entries and the dataset {len(self)} rows: pass one for each")
        every = np.full(next(iter(self._tensors.values())).shape[0], -1, dtype=np.int64)
        every[slice(None) if self._rows is None else self._rows] = np.asarray(groups, dtype=np.int64)
        view._groups = every
        return view

    def with_augmentation(self, augmentation: Callable[[torch.Tensor], torch.Tensor] | None) -> TensorDataset:
        """A view whose batches have `augmentation` applied to "pixel_values" [B, C, H, W]; None takes it away.

        Raises
        ------
        InputError
            When there are no pixel values.
        """
        if "pixel_values" not in self._tensors:
            raise InputError(
                f"the dataset has {', '.join(self._tensors)} and no pixel_values: only images are augmented"
            )
        view = self._copy()
        view._augmentation = augmentation
        return view

    def unscaled(self) -> TensorDataset:
        """A view whose batches hold the levels of stored pixels, uint8; `finish` does the rest.

        A quarter of the bytes goes to the device, and the arithmetic is done there.
        Rows that are not stored as levels come as ever.

        Examples
        --------
        >>> dataset = TensorDataset({"labels": torch.arange(2)}).unscaled()
        >>> dataset.finish(dataset.__getitems__([1]))
        {'labels': tensor([1])}
        """
        view = self._copy()
        view._unscaled = True
        return view

    def finish(self, batch: Batch) -> Batch:
        """Scale, normalise and augment a batch of `unscaled`, on the device it is on.

        The values are those of `__getitems__` to the bit; a random augmentation draws the same on the CPU.
        """
        batch = dict(batch)
        column = self._tensors.get("pixel_values")
        if isinstance(column, LevelRows):
            batch["pixel_values"] = column.levels(batch["pixel_values"])
        if self._augmentation is not None:
            batch["pixel_values"] = self._augmentation(batch["pixel_values"])
        return batch

    def _copy(self) -> TensorDataset:
        view = TensorDataset.__new__(TensorDataset)
        view.__dict__.update(self.__dict__)
        return view

    def _longest(self, rows: np.ndarray) -> int | None:
        if self._token_counts is None:
            return None
        return max(1, int(self._token_counts[rows].max())) if len(rows) else 1

    def _take(self, name: str, rows: np.ndarray, width: int | None = None) -> torch.Tensor:
        column = self._tensors[name]
        if self._unscaled and isinstance(column, LevelRows):
            return column.take_levels(rows)
        return take(column, rows, width, self._padding_side)

    def _finished(self, batch: Batch) -> Batch:
        if self._augmentation is not None and not self._unscaled:
            batch["pixel_values"] = self._augmentation(batch["pixel_values"])
        return batch


def _joined(columns: Sequence[torch.Tensor | Column]) -> torch.Tensor | Column:
    in_memory = [column for column in columns if isinstance(column, torch.Tensor)]
    return torch.cat(in_memory) if len(in_memory) == len(columns) else JoinedRows(columns)


def _update_header(digest: Any, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    digest.update(f"{name} {shape} {dtype}\n".encode())


def _update_bits(digest: Any, tensor: torch.Tensor) -> None:
    digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of names, shapes, types and bits, such as of a model's ``state_dict()``.

    Examples
    --------
    >>> tensors_digest({"a": torch.zeros(2)}) == tensors_digest({"a": torch.zeros(2, dtype=torch.int32)})
    False
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        _update_header(digest, name, tuple(tensor.shape), tensor.dtype)
        _update_bits(digest, tensor)
    return digest.hexdigest()


def collate_batch(batch: Batch | Sequence[Batch]) -> Batch:
    """Pass a fetched batch through; stack a list of single rows.

    Examples
    --------
    >>> collate_batch([{"labels": torch.tensor(0)}, {"labels": torch.tensor(2)}])
    {'labels': tensor([0, 2])}
    """
    if isinstance(batch, Mapping):
        return dict(batch)
    return {name: torch.stack([row[name] for row in batch]) for name in batch[0]}
