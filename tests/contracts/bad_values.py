"""Values that no argument takes, by name: each a function of the good value it stands in for."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import torch

Spoil = Callable[[Any], Any]


class Unreadable:
    """Fails in NumPy's hands and in `repr`'s."""

    def __array__(self, *arguments: Any, **options: Any) -> np.ndarray:
        raise RuntimeError("cannot be\nread")

    def __repr__(self) -> str:
        raise RuntimeError("nor shown")


def _one_replaced(good: np.ndarray, value: Any) -> np.ndarray:
    objects = good.astype(object)
    objects.flat[0] = value
    return objects


def _first_masked(good: np.ndarray) -> np.ma.MaskedArray:
    mask = np.zeros(good.shape, dtype=bool)
    mask.flat[0] = True
    return np.ma.MaskedArray(good, mask=mask)


def _rows_masked(good: np.ndarray) -> list:
    return list(_first_masked(good)) if good.ndim > 1 else [np.ma.masked, *good[1:].tolist()]


def _with_missing(good: np.ndarray) -> Any:
    kind = {"b": "boolean", "i": "Int64", "f": "Float64"}[good.dtype.kind]
    return pd.Series([pd.NA, *good.ravel()[1:].tolist()], dtype=kind) if good.ndim == 1 else _one_replaced(good, pd.NA)


BAD_ARRAYS: dict[str, Spoil] = {
    "masked": _first_masked,
    "masked rows": _rows_masked,
    "imaginary": lambda good: good + 1j,
    "imaginary of zero": lambda good: good.astype(complex),
    "words": lambda good: good.astype(str),
    "bytes": lambda good: good.astype("S8"),
    "None": lambda good: _one_replaced(good, None),
    "a word among numbers": lambda good: _one_replaced(good, "1"),
    "a decimal among numbers": lambda good: _one_replaced(good, Decimal(1)),
    "a missing value": _with_missing,
    "NaN": lambda good: np.where(np.arange(good.size).reshape(good.shape) == 0, np.nan, good),
    "dates": lambda good: np.zeros(good.shape, "datetime64[s]"),
    "durations": lambda good: np.zeros(good.shape, "timedelta64[s]"),
    "records": lambda good: np.zeros(good.shape, [("a", float)]),
    "too many dimensions": lambda good: good.reshape(1, 1, 1, *good.shape),
    "a number": lambda good: good.flat[0],
    "no dimension": lambda good: np.array(good.flat[0]),
    "ragged": lambda good: [[0.5], [0.5, 0.25]],
    "huge": lambda good: np.full(good.shape, 2**60 + 1),
    "beyond 64 bits": lambda good: _one_replaced(good, 2**70),
    "a set": lambda good: {1, 2},
    "a dictionary": lambda good: {"a": 1.0},
    "a generator": lambda good: (value for value in good),
    "a word": lambda good: "words",
    "unreadable": lambda good: Unreadable(),
    "a tensor with a gradient": lambda good: torch.ones(good.shape, requires_grad=True),
    "a tensor of bfloat16": lambda good: torch.ones(good.shape, dtype=torch.bfloat16),
    "a sparse tensor": lambda good: torch.ones(good.shape).to_sparse(),
}

# What reads as the same values: the answer must be the same to the last bit.
SAME_ARRAYS: dict[str, Spoil] = {
    "a list": lambda good: good.tolist(),
    "a list of rows": lambda good: list(good),
    "unmasked": lambda good: np.ma.MaskedArray(good, mask=False),
    "objects": lambda good: good.astype(object),
    "the other byte order": lambda good: good.astype(good.dtype.newbyteorder()),
    "columns first": np.asfortranarray,
    "every second of twice as many": lambda good: np.repeat(good, 2, axis=-1)[..., ::2],
    "a tensor": lambda good: torch.tensor(good),
    "a series": lambda good: pd.Series(good) if good.ndim == 1 else pd.DataFrame(good) if good.ndim == 2 else good,
    "a nullable series": lambda good: (
        pd.Series(good).convert_dtypes(convert_integer=False, convert_floating=False) if good.ndim == 1 else good
    ),
}

BAD_NUMBERS: dict[str, Any] = {
    "NaN": float("nan"),
    "a word": "0.5",
    "yes": "yes",
    "a list": [],
    "an array": np.array([0.5, 0.5]),
    "an array without dimensions": np.array(0.5),
    "a tensor": torch.tensor(0.5),
    "imaginary": 0.5 + 0j,
    "a decimal": Decimal("0.5"),
    "beyond float64": 10**400,
    "a duration": np.timedelta64(1, "s"),
    "an object": Unreadable(),
    "bytes": b"1",
    "a dictionary": {},
    "a masked number": np.ma.masked,
}
# Not numbers: True is none, and 1 or None is no yes or no.
BAD_REALS = {**BAD_NUMBERS, "True": True, "NumPy's True": np.True_}
BAD_WHOLES = {**BAD_REALS, "a half": 1.5, "a whole float": 2.0, "infinite": float("inf"), "-10**9": -(10**9)}
BAD_SWITCHES = {**BAD_NUMBERS, "one": 1, "zero": 0, "nothing": None, "1.0": 1.0, "no": "no"}
BAD_CHOICES = {**BAD_NUMBERS, "one": 1, "two choices": ["l2", "linf"], "True": True}
BAD_LISTS = {
    "a word": "0.5",
    "a number": 0.5,
    "a dictionary": {0.5: 1},
    "NaN": [float("nan")],
    "words": ["0.5"],
    "True": [True],
    "None": [None],
    "two dimensions": np.full((2, 2), 0.5),
    "masked": np.ma.MaskedArray([0.25, 0.5], mask=[True, False]),
    "an object": Unreadable(),
    "beyond float64": [10**400],
}
