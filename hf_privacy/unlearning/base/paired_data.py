"""Batches that hold examples to forget and examples to retain, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import MembershipBatchSampler


class PairedRows(NamedTuple):
    """Row numbers of one batch: of the anchor's set, and of the other."""

    anchor: list[int]
    partner: list[int]


class PairedDataset(Dataset):
    """Two datasets of which one is walked through, the anchor, and the other keeps it company.

    A batch is ``{"forget": …, "retain": …, "labels": …}``: two batches, either of them None where the method does not
    use that set, and the anchor's labels, by which the trainer counts.

    Parameters
    ----------
    forget, retain : TensorDataset, optional
        The other one may be None.
    anchor : {"forget", "retain"}
    """

    def __init__(self, forget: TensorDataset | None, retain: TensorDataset | None, *, anchor: str) -> None:
        self.forget = forget
        self.retain = retain
        self.anchor = anchor

    def __len__(self) -> int:
        return len(self._anchored)

    @property
    def _anchored(self) -> TensorDataset:
        dataset = self.forget if self.anchor == "forget" else self.retain
        assert dataset is not None
        return dataset

    @property
    def n_partners(self) -> int:
        """Rows of the other set; 0 where it is not used."""
        partner = self.retain if self.anchor == "forget" else self.forget
        return 0 if partner is None else len(partner)

    @property
    def augmentation(self) -> Any:
        """What either set's batches go through; None where neither's do."""
        found = [dataset.augmentation for dataset in (self.forget, self.retain) if dataset is not None]
        return next((each for each in found if each is not None), None)

    def __getitems__(self, rows: PairedRows) -> dict:
        """One batch of both sets."""
        other = "retain" if self.anchor == "forget" else "forget"
        anchored = self._anchored.__getitems__(rows.anchor)
        partner = self.forget if other == "forget" else self.retain
        return {
            "labels": anchored["labels"],
            self.anchor: anchored,
            other: None if partner is None else partner.__getitems__(rows.partner),
        }


class PairedBatchSampler(MembershipBatchSampler):
    """`MembershipBatchSampler` over the anchor, with rows of the other set beside each batch.

    The other set is walked through in a random order of its own, drawn for each epoch, from its beginning again when
    it ends. Rows depend on seed, epoch and place alone: a resumed run draws what it would have drawn, and each
    process takes its share of both.

    Examples
    --------
    >>> sampler = PairedBatchSampler(4, 2, partner_ratio=1.0, batch_size=2)
    >>> [len(rows.anchor) + len(rows.partner) for rows in sampler]
    [4, 4]
    """

    def __init__(self, n_anchor: int, n_partner: int, *, partner_ratio: float = 1.0, **settings: int) -> None:
        super().__init__(n_anchor, **settings)
        self.n_partner = n_partner
        self.partner_ratio = partner_ratio

    def __iter__(self) -> Iterator[PairedRows]:  # type: ignore[override]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch + 500_009)
        order = torch.randperm(self.n_partner, generator=generator).tolist()
        place = 0
        for (start, stop), anchor in zip(pairwise(self._bounds()), super().__iter__(), strict=True):
            count = self._n_partners(start, stop) if order else 0
            rows = [order[at % len(order)] for at in range(place, place + count)]
            yield PairedRows(anchor, rows[self.rank :: self.world_size])
            place += count

    def _n_partners(self, start: int, stop: int) -> int:
        """For all processes: each has at least two, because BatchNorm cannot train on one."""
        return max(round(stop * self.partner_ratio) - round(start * self.partner_ratio), 2 * self.world_size)
