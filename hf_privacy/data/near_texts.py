"""Texts that are alike: but for case and marks, or of which one holds most of the other, word for word."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from hf_privacy.data.near_repeats import components
from hf_privacy.errors import InputError

OVERLAP = 0.8  # of MIMIR's sets
_SIZE = 13  # words of a run
# A run that so many texts hold is their template, not one text in several rows.
_TEMPLATE = 50
_ROWS_AT_A_TIME = 4096
_WORD = re.compile(r"\w+")


def text_groups(
    dataset: Dataset, columns: Sequence[str], overlap: float | None = None, max_candidates: int = 20_000_000
) -> np.ndarray:
    """Number of the group of each row of texts or messages: int64[N].

    Rows are alike where every column is but for case, punctuation and white space; with ``overlap``, also where
    `overlapping_texts` of the columns together says so.

    Examples
    --------
    >>> text_groups(Dataset.from_dict({"text": ["Good film.", "good  film", "bad"]}), ["text"]).tolist()
    [0, 0, 1]
    """
    rows = dataset.with_format(None)[:]
    values = list(zip(*(rows[name] for name in columns), strict=True))
    numbers: dict[tuple[str, ...], int] = {}
    group = np.array([numbers.setdefault(tuple(map(_bare, row)), len(numbers)) for row in values], dtype=np.int64)
    if overlap is None:
        return group
    first = np.unique(group, return_index=True)[1]
    texts = ["\n".join(_text(value) for value in values[row] if value is not None) for row in first.tolist()]
    return overlapping_texts(texts, overlap=overlap, max_candidates=max_candidates)[group]


def _bare(value: str | list[dict[str, Any]] | None) -> str:
    """Text without case, punctuation and white space; a text of nothing else stays as it is. Of messages, theirs."""
    if value is None:
        return "\0missing"
    text = _text(value)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(
        letter
        for letter in folded
        if not (letter in string.punctuation or letter.isspace() or unicodedata.category(letter).startswith("P"))
    )
    return bare or f"\0{text}"


def _text(value: str | list[dict[str, Any]]) -> str:
    return value if isinstance(value, str) else "\n".join(str(turn.get("content")) for turn in value)


def overlapping_texts(
    texts: Sequence[str], *, overlap: float = OVERLAP, size: int = _SIZE, max_candidates: int = 20_000_000
) -> np.ndarray:
    """Number of the component of each text, where two are joined that share more than `overlap` of their runs.

    Runs are of `size` words in a row, without regard to case and punctuation; the share is of the runs of the text
    that has fewer. Runs in more than 50 of the texts are left out of both. A text of fewer words has no run.

    Parameters
    ----------
    texts : sequence of str
        None of them twice: equal ones would make what they hold look like a template.
    overlap : float
        In [0, 1).
    size : int
    max_candidates : int
        Most runs that pairs of texts share, in all.

    Returns
    -------
    int64[N]

    Raises
    ------
    InputError
        For more than `max_candidates`.

    References
    ----------
    Duan et al., "Do membership inference attacks work on large language models?", 2024 (arXiv 2402.07841), which
    leaves out non-members that share more than 80 % of their runs of thirteen words with the training set.

    Examples
    --------
    >>> line = "the quick brown fox jumps over the lazy dog and runs far away into the dark green wood"
    >>> overlapping_texts([line, "Yes: " + line + "!", "another text"]).tolist()
    [0, 0, 1]
    """
    row_of_run, runs = _runs(texts, size)
    _, run, held_by = np.unique(runs, return_inverse=True, return_counts=True)
    own = held_by[run] <= _TEMPLATE
    sizes = np.bincount(row_of_run[own], minlength=len(texts))
    # What one text alone holds is no overlap, and nearly all runs are of that kind.
    shared = own & (held_by[run] > 1)
    n_candidates = int((held_by[(held_by > 1) & (held_by <= _TEMPLATE)].astype(np.int64) ** 2).sum()) // 2
    if n_candidates > max_candidates:
        raise InputError(
            f"more than {max_candidates:,} runs of {size} words are shared by pairs of texts: drop exact repeats "
            "first, pass a larger max_candidates, or near=False"
        )
    from scipy.sparse import csr_array

    names, column = np.unique(run[shared], return_inverse=True)
    table = csr_array(
        (np.ones(len(column), dtype=np.int32), (row_of_run[shared], column)), shape=(len(texts), len(names))
    )
    pairs = []
    for start in range(0, len(texts), _ROWS_AT_A_TIME):
        common = (table[start : start + _ROWS_AT_A_TIME] @ table.T).tocoo()
        one, other = common.coords[0] + start, common.coords[1]
        near = (one < other) & (common.data > overlap * np.minimum(sizes[one], sizes[other]))
        pairs.append(np.stack([one[near], other[near]], axis=1))
    return components(np.concatenate(pairs) if pairs else np.empty((0, 2), dtype=np.int64), len(texts))


def _runs(texts: Sequence[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Every run of every text once: the text's number, and the run's hash of 64 bits."""
    numbers: dict[str, int] = {}
    # Odd multipliers drawn once: a sum modulo 2⁶⁴ in which two unequal runs agree by a chance of 2⁻⁶³ or so.
    weights = np.random.default_rng(0).integers(2**62, 2**63, size=size, dtype=np.uint64) * 2 + 1
    scattered = np.random.default_rng(1)
    values = np.empty(0, dtype=np.uint64)
    rows, runs = [], []
    for row, text in enumerate(texts):
        words = [numbers.setdefault(word, len(numbers)) for word in _WORD.findall(text.casefold())]
        if len(words) < size:
            continue
        if len(numbers) > len(values):
            more = scattered.integers(0, 2**64, size=max(len(numbers), 1024), dtype=np.uint64)
            values = np.concatenate([values, more])
        windows = np.lib.stride_tricks.sliding_window_view(values[words], size)
        found = np.unique((windows * weights).sum(axis=1, dtype=np.uint64))
        rows.append(np.full(len(found), row))
        runs.append(found)
    if not runs:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64)
    return np.concatenate(rows), np.concatenate(runs)
