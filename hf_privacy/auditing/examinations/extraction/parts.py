"""Which tokens of each row are given, and which are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_privacy.data import TensorDataset
from hf_privacy.models import IGNORED
from hf_privacy.recipe import ExtractionSettings
from hf_privacy.signals import scored_offsets

_PREFIX = 50  # tokens, of a row without a prompt


@dataclass(frozen=True)
class AskedParts:
    """The asked-for part of M rows of a dataset: an unbroken run of scored tokens behind what is given.

    Attributes
    ----------
    rows : int64 array of shape [M]
        Row numbers, ascending; rows that hold no such part are left out.
    starts : int64 array of shape [M]
        How many tokens are given: the column at which the part begins.
    lengths : int64 array of shape [M]
        Of the part, at least 1.
    places : int64 array of shape [T]
        Of the parts' tokens, among the scored tokens of all rows of the dataset.
    """

    rows: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    places: np.ndarray

    @property
    def offsets(self) -> np.ndarray:
        """Where each part begins and ends in `places`: int64 [M + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def columns(self) -> np.ndarray:
        """The columns of the parts' tokens: int64 [T]."""
        return np.arange(self.lengths.sum()) + np.repeat(self.starts - self.offsets[:-1], self.lengths)

    def tokens(self, dataset: TensorDataset) -> np.ndarray:
        """The parts' token ids: int64 [T]."""
        return dataset.column("input_ids").numpy()[np.repeat(self.rows, self.lengths), self.columns()]


def asked_parts(dataset: TensorDataset, settings: ExtractionSettings) -> AskedParts:
    """The part that is asked for of each row.

    Given are the prompt where there is one, else 50 tokens or half of a row of fewer than 100, or as many tokens as
    the settings say, but never less than the prompt. Asked for are the scored tokens behind, up to the settings'
    number, as long as nothing unscored lies between (the next turn of a conversation).

    Parameters
    ----------
    dataset : TensorDataset of N rows
        With "labels" and "attention_mask", padded on the right.
    settings : ExtractionSettings

    Examples
    --------
    >>> import torch
    >>> ids = torch.arange(3, 11)[None]
    >>> rows = TensorDataset({"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids})
    >>> parts = asked_parts(rows, ExtractionSettings(suffix_tokens=3))
    >>> parts.tokens(rows), parts.places
    (array([7, 8, 9]), array([3, 4, 5]))
    """
    scored = dataset.column("labels").numpy() != IGNORED
    scored[:, 0] = False  # a row's first token is told by nothing
    columns = np.arange(scored.shape[1])
    first = scored.argmax(axis=1)
    # Of one token alone, a prompt looks like the opening of a text: the other rows tell which it is.
    has_prompt = bool((first >= 2).any())
    lengths = dataset.column("attention_mask").numpy().sum(axis=1)
    given = np.where(has_prompt, 0, np.clip(lengths // 2, 1, _PREFIX))
    if settings.prefix_tokens is not None:
        given = np.full(len(lengths), settings.prefix_tokens)
    behind = scored & (columns >= given[:, None])
    rows = np.flatnonzero(behind.any(axis=1))
    scored, starts = scored[rows], behind[rows].argmax(axis=1)
    broken = ~scored & (columns > starts[:, None])
    ends = np.where(broken.any(axis=1), broken.argmax(axis=1), scored.shape[1])
    asked = np.minimum(ends - starts, settings.suffix_tokens)
    before = scored_offsets(dataset)[rows] + (scored & (columns < starts[:, None])).sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(asked)])
    places = np.arange(offsets[-1]) + np.repeat(before - offsets[:-1], asked)
    return AskedParts(rows, starts, asked, places)
