"""zlib: the loss against how long the text is when compressed, which knows of no model."""

from __future__ import annotations

import zlib as compression
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import nonnegative_vector
from hf_privacy.errors import InputError


def zlib(loss: ArrayLike, texts: Sequence[str]) -> NDArray[np.float64]:
    """Minus the mean loss over the bytes of the compressed text.

    Parameters
    ----------
    loss : array-like of float, shape [N]
        Mean loss of the target over each row's scored tokens, in nats, ≥ 0.
    texts : sequence of str, length N
        The scored text of each row as it was given: not stripped, not normalised, and not decoded from tokens.

    Returns
    -------
    float64[N]
        In nats per byte, higher for likelier members, at most 0.

    Raises
    ------
    InputError
        If the loss is empty, not one-dimensional, NaN, infinite or negative, or the texts are no strings or not N.

    References
    ----------
    Carlini et al., "Extracting training data from large language models", USENIX Security 2021 (arXiv 2012.07805).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.zlib([2.0, 2.0], ["aaaaaaaaaaaaaaaa", "a private thing."]).round(3)
    array([-0.182, -0.083])
    """
    losses = nonnegative_vector("loss", loss)
    return -losses / compressed_bytes(texts, n_examples=len(losses))


def compressed_bytes(texts: Sequence[str], *, n_examples: int) -> NDArray[np.int64]:
    """Length of each text in UTF-8, compressed at zlib's default level; at least 8.

    Raises
    ------
    InputError
        If the texts are no strings, or not ``n_examples``.

    Examples
    --------
    >>> compressed_bytes(["", "a"], n_examples=2)
    array([8, 9])
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise InputError("texts is no list of strings: pass the scored text of each row, as it was given")
    if len(texts) != n_examples:
        raise InputError(f"texts has {len(texts):,} rows and loss {n_examples:,}: pass one text per example")
    # A lone surrogate, which JSON can hold and UTF-8 cannot, is three bytes as any other of its kind would be.
    return np.array([len(compression.compress(text.encode("utf-8", "surrogatepass"))) for text in texts])
