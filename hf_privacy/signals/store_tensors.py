"""The arrays of one model as its file in the store holds them, checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hf_privacy.errors import InputError


def store_tensors(
    signals: Mapping[str, np.ndarray],
    membership: np.ndarray,
    *,
    names: Sequence[str],
    n_queries: int,
    n_examples: int,
) -> dict[str, np.ndarray]:
    """Signals as float64 [Q, N] under their names, and membership as uint8 [N].

    Raises
    ------
    InputError
        For other names or shapes, values that are not finite, or membership that is not boolean.

    Examples
    --------
    >>> store_tensors({"phi": np.zeros((1, 2))}, np.array([True, False]), names=["phi"], n_queries=1, n_examples=2)
    {'membership': array([1, 0], dtype=uint8), 'phi': array([[0., 0.]])}
    """
    membership = np.asarray(membership)
    if membership.dtype != np.bool_ or membership.shape != (n_examples,):
        raise InputError(
            f"membership has dtype {membership.dtype} and shape {list(membership.shape)}: pass a bool array of "
            f"{n_examples} examples"
        )
    if sorted(signals) != sorted(names):
        raise InputError(f"signals has {sorted(signals)} and the store {sorted(names)}: pass the same names")
    tensors = {"membership": membership.astype(np.uint8)}
    for name in names:
        values = np.ascontiguousarray(signals[name], dtype=np.float64)
        if values.shape != (n_queries, n_examples) or not np.isfinite(values).all():
            raise InputError(
                f"signals[{name!r}] has shape {list(values.shape)}: pass finite values of shape "
                f"[{n_queries}, {n_examples}], one row per query"
            )
        tensors[name] = values
    return tensors
