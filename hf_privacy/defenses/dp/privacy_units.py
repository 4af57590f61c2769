"""What differential privacy protects: each row, or all rows of a group together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithFlattening

from hf_privacy.data import TensorDataset
from hf_privacy.data.language import PACKED
from hf_privacy.defenses.dp.config import DPConfig
from hf_privacy.defenses.dp.per_sample_gradients import UNIT
from hf_privacy.defenses.dp.secret_stream import SecretStream
from hf_privacy.errors import InputError


class PrivacyUnits:
    """The units of a training set.

    Parameters
    ----------
    dataset : TensorDataset
        Or any with a length, where each row is a unit.
    groups : int64[N], optional
        The group of each row; without, each row is a unit.
    most : int, optional
        Rows of a group that are taken at a time.
    """

    def __init__(self, dataset: Any, groups: np.ndarray | None = None, most: int | None = None) -> None:
        self.dataset, self.most = dataset, most
        self._rows: list[np.ndarray] | None = None
        if groups is not None:
            order = np.argsort(groups, kind="stable")
            starts = np.flatnonzero(np.diff(groups[order])) + 1
            self._rows = np.split(order, starts)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.dataset) if self._rows is None else len(self._rows)

    def as_dataset(self) -> _RowsOfGroups:
        """A dataset of groups, of which a batch is the rows of those asked for, or a part of a large one's."""
        assert self._rows is not None
        # A stream of this process's own: each has other groups, and that of the batches must stay the same on all.
        return _RowsOfGroups(self.dataset, self._rows, self.most, SecretStream())


class _RowsOfGroups:
    def __init__(self, dataset: TensorDataset, rows: list[np.ndarray], most: int | None, stream: SecretStream) -> None:
        self.dataset, self.rows, self.most, self.stream = dataset, rows, most, stream

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, groups: Sequence[int]) -> dict[str, torch.Tensor]:
        taken = [self._taken(self.rows[group]) for group in groups]
        batch = self.dataset.__getitems__(np.concatenate(taken) if taken else [])
        numbers = np.repeat(np.arange(len(taken)), [len(rows) for rows in taken])
        return {**batch, UNIT: torch.from_numpy(numbers)}

    def _taken(self, rows: np.ndarray) -> np.ndarray:
        if self.most is None or len(rows) <= self.most:
            return rows
        # Secret as the draw of the groups is: which of its rows a step took would tell of them.
        return rows[self.stream.uniform(len(rows)).argsort()[: self.most].numpy()]


def refuse_packing(args: Any, dataset: Any, collator: Any) -> None:
    """Refuse what joins rows into blocks, whose gradients are nobody's own.

    Raises
    ------
    InputError
        For `packing` or `padding_free` among the arguments or of the collator, a collator that flattens, or a dataset
        with the columns of packed rows.

    Examples
    --------
    >>> from transformers import DataCollatorWithFlattening
    >>> refuse_packing(None, None, DataCollatorWithFlattening())
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: data_collator is DataCollatorWithFlattening: it joins rows into one, and the unit of
    the guarantee is a row or a group of them; pad them instead, as collate_batch does
    """
    way_out = "it joins rows into one, and the unit of the guarantee is a row or a group of them; pad them instead"
    for name in ("packing", "padding_free"):
        if getattr(args, name, False):
            raise InputError(f"{name} is set: {way_out}")
    if isinstance(collator, DataCollatorWithFlattening) or getattr(collator, "padding_free", False):
        raise InputError(f"data_collator is {type(collator).__name__}: {way_out}, as collate_batch does")
    columns = getattr(dataset, "column_names", None) or ()
    packed = [name for name in PACKED if name in columns]
    if packed:
        raise InputError(f"train_dataset has the column {packed[0]!r}, which packed rows have: pass one example a row")


def units_of(dataset: Any, args: DPConfig) -> PrivacyUnits:
    """The units that a config names.

    Raises
    ------
    InputError
        For groups where the dataset has none, or groups larger than ``max_rows_per_group`` where they are refused.
    """
    if args.privacy_unit == "row":
        return PrivacyUnits(dataset)
    groups = dataset.groups if isinstance(dataset, TensorDataset) else None
    if groups is None:
        raise InputError(
            "privacy_unit is 'group' and the training rows have no groups: name data.group_column, or pass a "
            "TensorDataset with_groups"
        )
    most = args.max_rows_per_group
    sizes = np.unique(groups, return_counts=True)[1]
    larger = int((sizes > most).sum()) if most is not None else 0
    if larger and args.larger_groups == "refuse":
        raise InputError(
            f"{larger} of {len(sizes)} groups have more rows than max_rows_per_group, {most} (up to {sizes.max()}): "
            "set larger_groups to 'draw', which takes so many of them afresh each time, or raise it"
        )
    return PrivacyUnits(dataset, groups, most)
