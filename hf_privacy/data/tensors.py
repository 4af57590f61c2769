"""A dataset that is already tensors: a batch costs one copy of its rows per column.

With images decoded and transformed once, an epoch of a small model is spent on the model and not on the loader.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from hf_privacy.arrays import row_numbers
from hf_privacy.errors import InputError

Batch = dict[str, torch.Tensor]
Rows = Sequence[int] | np.ndarray | torch.Tensor


class TensorDataset(Dataset):
    """Tensors of equal length, fetched by whole batches (`__getitems__`, which torch's DataLoader calls).

    A plain DataLoader needs ``collate_fn=collate_batch``, since a fetched batch is collated already.

    Parameters
    ----------
    tensors : mapping of str to tensor[N, ...]
        On the CPU: model inputs by the name the model knows them under, and "labels".
    padding_side : {"right", "left"}, optional
        For padded text with an "attention_mask": a batch is trimmed to its longest row on this side.
    sequence_columns : sequence of str
        The tensors [N, length] that are trimmed.
    texts : sequence of str, optional
        Of N rows of text, what is scored of each, as it was given.
    truncated : bool[N], optional
        Which rows were cut to fit.

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
        tensors: Mapping[str, torch.Tensor],
        *,
        padding_side: str | None = None,
        sequence_columns: Sequence[str] = (),
        texts: Sequence[str] | None = None,
        truncated: np.ndarray | None = None,
    ) -> None:
        lengths = {name: len(tensor) for name, tensor in tensors.items()}
        beside = {"texts": texts, "truncated": truncated}
        lengths |= {name: len(values) for name, values in beside.items() if values is not None}
        if len(set(lengths.values())) != 1:
            raise InputError(f"tensors has the lengths {lengths}: pass at least one tensor, all of one length")
        self._tensors = dict(tensors)
        self._padding_side = padding_side
        self._sequence_columns = tuple(sequence_columns)
        self._token_counts = tensors["attention_mask"].sum(dim=1).numpy() if padding_side else None
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
        if "labels" not in self._tensors or self._tensors["labels"].ndim != 1:
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
        if name not in self._tensors:
            raise InputError(f"column is {name!r} and the dataset has {', '.join(self._tensors)}")
        return self._tensors[name] if self._rows is None else _take(self._tensors[name], self._rows)

    def __len__(self) -> int:
        """Number of rows."""
        return len(next(iter(self._tensors.values()))) if self._rows is None else len(self._rows)

    def __getitem__(self, index: int) -> Batch:
        """One row, untrimmed, so that rows of different lengths can be stacked."""
        row = range(len(self))[index]  # IndexError past the end ends a `for` loop
        row = row if self._rows is None else int(self._rows[row])
        return self._augmented({name: tensor[row : row + 1] for name, tensor in self._tensors.items()}, single=True)

    def __getitems__(self, indices: Rows) -> Batch:
        """A batch: a dictionary of tensors with one row for each index; no index gives tensors of length 0."""
        rows = np.asarray(indices, dtype=np.int64)
        if self._rows is not None:
            rows = self._rows[rows]
        span = self._span(rows)
        batch = {}
        for name, tensor in self._tensors.items():
            source = tensor[:, span] if span is not None and name in self._sequence_columns else tensor
            batch[name] = _take(source, rows)
        return self._augmented(batch, single=False)

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
        # In blocks: of a subset, each is a copy.
        blocks = [self.subset(np.arange(start, min(start + 4096, len(self)))) for start in range(0, len(self), 4096)]
        parts = [tensors_digest({name: block.column(name) for name in self.column_names}) for block in blocks]
        parts += [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in self.texts or ()]
        if self._paraphrases_at is not None:
            parts.append(self.paraphrased(np.ones(len(self), dtype=bool)).digest())
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def with_tensors(
        self, tensors: Mapping[str, torch.Tensor], *, texts: Sequence[str] | None = None
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
        every = np.full(len(next(iter(self._tensors.values()))), -1, dtype=np.int64)
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

    def _copy(self) -> TensorDataset:
        view = TensorDataset.__new__(TensorDataset)
        view.__dict__.update(self.__dict__)
        return view

    def _span(self, rows: np.ndarray) -> slice | None:
        if self._token_counts is None:
            return None
        longest = max(1, int(self._token_counts[rows].max())) if len(rows) else 1
        return slice(None, longest) if self._padding_side == "right" else slice(-longest, None)

    def _augmented(self, batch: Batch, *, single: bool) -> Batch:
        if self._augmentation is not None:
            batch["pixel_values"] = self._augmentation(batch["pixel_values"])
        return {name: tensor[0] for name, tensor in batch.items()} if single else batch


def _take(tensor: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    """A copy of these rows. NumPy copies on one thread; torch's own would wait for threads that busy cores delay."""
    return torch.from_numpy(tensor.numpy()[rows])


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of names, shapes, types and bits, such as of a model's ``state_dict()``.

    Examples
    --------
    >>> tensors_digest({"a": torch.zeros(2)}) == tensors_digest({"a": torch.zeros(2, dtype=torch.int32)})
    False
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
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
