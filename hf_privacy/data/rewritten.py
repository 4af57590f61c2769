"""Encoded rows of text written anew: in lower case, or behind a few other rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_privacy.arrays import IGNORED
from hf_privacy.data.language import special_tokens
from hf_privacy.data.tensors import TensorDataset

_Row = tuple[list[int], list[bool]]
# As little as decoding can change.
_EXACTLY = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}


def lowered(dataset: TensorDataset, tokenizer: PreTrainedTokenizerBase, *, max_length: int | None) -> TensorDataset:
    """The rows with their scored text in lower case.

    Each stretch of scored tokens is decoded, lowered, encoded anew and put in its place; the tokenizer's special
    tokens stay, the end-of-text token among them, and so does what lowering leaves as it is, token by token.

    Parameters
    ----------
    dataset : TensorDataset
        As `hf_privacy.data.encode_language` makes it.
    tokenizer : PreTrainedTokenizerBase
        The one it was made with.
    max_length : int, optional
        Rows that have become longer are cut at their end.

    Returns
    -------
    TensorDataset
        Without texts. Every row keeps a scored token.
    """
    special, rows = special_tokens(tokenizer), _rows_of(dataset)
    stretches = [
        (number, start, end)
        for number, (ids, scored) in enumerate(rows)
        for start, end in _stretches(
            [is_scored and token not in special for token, is_scored in zip(ids, scored, strict=True)]
        )
    ]
    decoded = [str(tokenizer.decode(rows[number][0][start:end], **_EXACTLY)) for number, start, end in stretches]
    changed = [place for place, text in enumerate(decoded) if text != text.lower()]
    if changed:
        encoded = tokenizer(
            [decoded[place].lower() for place in changed], add_special_tokens=False, return_attention_mask=False
        )["input_ids"]
        # From the end on, so that what is put in leaves the places before it where they are.
        for place, tokens in reversed(list(zip(changed, encoded, strict=True))):
            number, start, end = stretches[place]
            ids, scored = rows[number]
            ids[start:end] = tokens
            scored[start:end] = [True] * len(tokens)
            scored[0] = False
    for number, (_, scored) in enumerate(rows):
        if not any(scored[:max_length]):  # a prompt that fills the row, or a text that lower case leaves empty
            rows[number] = _row_of(dataset, number)
    return _dataset_of(dataset, [(ids[:max_length], scored[:max_length]) for ids, scored in rows])


class Prefix(NamedTuple):
    """What `behind` puts before every row, in the place of as many of its own first tokens as are opening ones."""

    tokens: list[int]
    n_opening: int
    n_shots: int


def shot_prefix(
    dataset: TensorDataset, shots: TensorDataset, *, n_shots: int, bos: int | None, max_length: int | None
) -> Prefix:
    """One prefix of whole other rows for all rows of a dataset.

    Parameters
    ----------
    dataset, shots : TensorDataset
        As `hf_privacy.data.encode_language` makes them. Shots keep their end-of-text token, which parts them.
    n_shots : int
        Most shots: the first that fit before the dataset's longest row.
    bos : int, optional
        The token that opens a text. Where all rows begin with it, and it opens nothing else in them, it stands once.
    max_length : int, optional
        Of prefix and row together.

    Examples
    --------
    >>> ids = torch.tensor([[1, 5, 2], [1, 6, 2], [1, 7, 2]])
    >>> rows = TensorDataset({"input_ids": ids, "attention_mask": ids.sign(), "labels": ids}, padding_side="right")
    >>> shot_prefix(rows.subset([0]), rows.subset([1, 2]), n_shots=10, bos=1, max_length=5)
    Prefix(tokens=[1, 6, 2], n_opening=1, n_shots=1)
    """
    rows, others = ([ids for ids, _ in _rows_of(part)] for part in (dataset, shots))
    opens = all(ids[0] == bos and ids.count(bos) == 1 for ids in (*rows, *others))
    tokens, n_opening, used = ([bos] if bos is not None and opens else []), int(opens), 0
    room = math.inf if max_length is None else max_length - max(map(len, rows)) + n_opening
    for shot in others:
        if used < n_shots and len(tokens) + len(shot) - n_opening <= room:
            tokens, used = tokens + shot[n_opening:], used + 1
    return Prefix(tokens, n_opening, used)


def behind(dataset: TensorDataset, prefix: Prefix) -> TensorDataset:
    """The rows behind a prefix; what is scored of them stays what it was. Without texts.

    Examples
    --------
    >>> ids = torch.tensor([[1, 5, 2]])
    >>> rows = TensorDataset({"input_ids": ids, "attention_mask": ids.sign(), "labels": ids}, padding_side="right")
    >>> behind(rows, Prefix([1, 6, 2], n_opening=1, n_shots=1)).column("labels")
    tensor([[-100, -100, -100,    5,    2]])
    """
    unscored = [False] * len(prefix.tokens)
    return _dataset_of(
        dataset,
        [
            (prefix.tokens + ids[prefix.n_opening :], unscored + _first_unscored(scored)[prefix.n_opening :])
            for ids, scored in _rows_of(dataset)
        ],
    )


def _first_unscored(scored: list[bool]) -> list[bool]:
    """A row's first token is never scored, whatever its label; behind a prefix it would be."""
    return [False, *scored[1:]]


def _row_of(dataset: TensorDataset, number: int) -> _Row:
    return _rows_of(dataset.subset([number]))[0]


def _rows_of(dataset: TensorDataset) -> list[_Row]:
    """Tokens of each row, and which are scored, without padding."""
    columns = (dataset.column(name).numpy() for name in ("input_ids", "attention_mask", "labels"))
    return [
        (ids[: mask.sum()].tolist(), (labels[: mask.sum()] != IGNORED).tolist())
        for ids, mask, labels in zip(*columns, strict=True)
    ]


def _dataset_of(dataset: TensorDataset, rows: Sequence[_Row]) -> TensorDataset:
    shape = (len(rows), max(len(ids) for ids, _ in rows))
    filling = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}
    tensors = {name: np.full(shape, value, dtype=np.int64) for name, value in filling.items()}
    for number, (ids, scored) in enumerate(rows):
        tensors["input_ids"][number, : len(ids)] = ids
        tensors["attention_mask"][number, : len(ids)] = 1
        tensors["labels"][number, : len(ids)] = np.where(scored, ids, IGNORED)
    return dataset.with_tensors({name: torch.from_numpy(values) for name, values in tensors.items()})


def _stretches(marks: Sequence[bool]) -> list[tuple[int, int]]:
    """Where marks stand together: start and end of each stretch."""
    edges = [place for place, (one, other) in enumerate(pairwise([False, *marks, False])) if one != other]
    return list(zip(edges[::2], edges[1::2], strict=True))
