"""The arrays of one model as its file in the store holds them, checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hf_privacy.errors import InputError

if TYPE_CHECKING:
    from hf_privacy.signals.tokens import TokenSignals

# Of each scored token of each example, float32 and (whether greedy decoding gives it) uint8, all of length T.
TOKEN_NAMES = ("token_log_prob", "token_mean", "token_variance", "token_greedy")


def store_tensors(
    signals: Mapping[str, np.ndarray],
    membership: np.ndarray,
    *,
    names: Sequence[str],
    n_queries: int,
    n_examples: int,
    tokens: TokenSignals | None = None,
    n_tokens: int | None = None,
) -> dict[str, np.ndarray]:
    """Signals as float64 [Q, N] under their names, membership as uint8 [N], and those of tokens under `TOKEN_NAMES`.

    Raises
    ------
    InputError
        For other names, shapes or number of tokens, values that are not finite, or membership that is not boolean.

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
    if (None if tokens is None else len(tokens.log_prob)) != n_tokens:
        raise InputError(
            f"tokens has {'none' if tokens is None else len(tokens.log_prob)} and the store {n_tokens or 'none'}: "
            "pass the signals of every scored token of the store's examples"
        )
    if tokens is not None:
        arrays = (tokens.log_prob, tokens.mean, tokens.variance, tokens.greedy)
        for name, values in zip(TOKEN_NAMES, arrays, strict=True):
            tensors[name] = np.ascontiguousarray(values, dtype=np.uint8 if name == "token_greedy" else np.float32)
    return tensors


def tensor_shapes(
    names: Sequence[str], *, n_queries: int, n_examples: int, n_tokens: int | None
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What `store_tensors` gives, by name: safetensors' dtype, and shape.

    Examples
    --------
    >>> tensor_shapes(["phi"], n_queries=1, n_examples=2, n_tokens=None)
    {'membership': ('U8', (2,)), 'phi': ('F64', (1, 2))}
    """
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {"membership": ("U8", (n_examples,))}
    shapes |= dict.fromkeys(names, ("F64", (n_queries, n_examples)))
    if n_tokens is not None:
        shapes |= {name: ("U8" if name == "token_greedy" else "F32", (n_tokens,)) for name in TOKEN_NAMES}
    return shapes
