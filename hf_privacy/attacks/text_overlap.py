"""How much of a text stands in what a model wrote: the longest common run of tokens, and runs of eight of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_whole
from hf_privacy.arrays import whole_array
from hf_privacy.errors import InputError


def longest_common_run(generated: Sequence[ArrayLike], true: Sequence[ArrayLike]) -> NDArray[np.int64]:
    """Longest run of tokens that stands, unbroken, in both what was generated and the true text.

    Parameters
    ----------
    generated, true : sequence of N arrays of int
        Token ids of each row; rows may differ in length, and what was generated may be empty.

    Returns
    -------
    int64[N]
        In tokens, from 0 to the length of the shorter.

    Raises
    ------
    InputError
        If there are not as many of one as of the other, or a row is no array of token ids.

    Examples
    --------
    >>> longest_common_run([[1, 2, 3, 9], []], [[7, 2, 3, 9, 1], [4]])
    array([3, 0])
    """
    return np.array([_run(*pair) for pair in _pairs(generated, true)], dtype=np.int64)


def containment(generated: Sequence[ArrayLike], true: Sequence[ArrayLike], *, size: int = 8) -> NDArray[np.float64]:
    """Share of a text's runs of ``size`` tokens that stand in what was generated.

    Parameters
    ----------
    generated, true : sequence of N arrays of int
        Token ids of each row; a true text is not empty.
    size : int, default 8
        Of a run; a true text that is shorter counts as one run.

    Returns
    -------
    float64[N]
        In [0, 1].

    Raises
    ------
    InputError
        As `longest_common_run`; also if a true text is empty or size is below 1.

    Examples
    --------
    >>> containment([[1, 2, 3, 4]], [[2, 3, 4, 5]], size=2)
    array([0.66666667])
    """
    size = check_whole("size", size, at_least=1)
    shares = []
    for row, (made, text) in enumerate(_pairs(generated, true)):
        if len(text) == 0:
            raise InputError(f"row {row:,} of true is empty: leave such rows out")
        length = min(size, len(text))
        runs = np.lib.stride_tricks.sliding_window_view(text, length)
        # Of generated tokens fewer than a run none is contained.
        there = np.lib.stride_tricks.sliding_window_view(made, length) if len(made) >= length else made[:0]
        known = {run.tobytes() for run in there}
        shares.append(np.mean([run.tobytes() in known for run in runs]))
    return np.array(shares, dtype=np.float64)


def _run(made: NDArray[np.int64], text: NDArray[np.int64]) -> int:
    # ending[j]: the common run that ends at this token of what was made and at token j of the text.
    ending, longest = np.zeros(len(text) + 1, dtype=np.int64), 0
    for token in made:
        ending[1:] = np.where(text == token, ending[:-1] + 1, 0)
        longest = max(longest, int(ending.max()))
    return longest


def _pairs(generated: Sequence[ArrayLike], true: Sequence[ArrayLike]) -> list[tuple[NDArray[np.int64], ...]]:
    for name, rows in (("generated", generated), ("true", true)):
        if not isinstance(rows, (list, tuple, np.ndarray)):
            raise InputError(f"{name} is a {type(rows).__name__}: pass a list with an array of token ids for each row")
    if len(generated) != len(true):
        raise InputError(f"generated has {len(generated):,} rows and true {len(true):,}: pass one of each")
    return [
        (_ids("generated", made, row), _ids("true", text, row))
        for row, (made, text) in enumerate(zip(generated, true, strict=True))
    ]


def _ids(name: str, row: ArrayLike, number: int) -> NDArray[np.int64]:
    ids = whole_array(f"row {number:,} of {name}", row)
    if ids.ndim != 1:
        raise InputError(f"row {number:,} of {name} has shape {ids.shape}: pass one dimension, its token ids")
    return ids
