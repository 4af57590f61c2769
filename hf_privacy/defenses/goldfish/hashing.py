"""Which tokens are left out: a number for each, of nothing but token numbers and a seed.

Integers alone, none above 2⁶³: every process, machine and device finds the same.
"""

from __future__ import annotations

import hashlib

import torch

_PRIME = 2**31 - 1
_HASHES = 2**31  # how many different ones there are


def context_hashes(
    input_ids: torch.Tensor, attention_mask: torch.Tensor | None, *, width: int, seed: int
) -> torch.Tensor:
    """A number for each position, of the `width` token numbers before it: int64 [B, L], in [0, 2³¹).

    Of a position with fewer before it, all there are and that the row begins there. The token at the position itself
    has no part in it. It is a polynomial in the numbers plus one, modulo a prime, with a factor and a salt by `seed`:
    a product would be 0 with a 0 among them, and blind to their order.

    Parameters
    ----------
    input_ids : int64 tensor [B, L]
    attention_mask : int64 tensor [B, L], optional
        0 at padding, which counts as nothing.
    width : int
        At least 1.
    seed : int

    Returns
    -------
    int64 tensor [B, L]

    Examples
    --------
    >>> context_hashes(torch.tensor([[5, 0, 7], [5, 0, 8]]), None, width=2, seed=0)
    tensor([[1170338872,  977295235, 1245171672],
            [1170338872,  977295235, 1245171672]])
    """
    factor, salt = _constants(seed)
    ids = torch.nn.functional.pad(_numbers(input_ids, attention_mask), (width, 0))
    length = input_ids.shape[1]
    values = torch.full_like(input_ids, salt)
    for start in range(width):  # the farthest first
        values = (values * factor + ids[:, start : start + length]) % _PRIME
    return _mixed(values)


def row_hashes(input_ids: torch.Tensor, attention_mask: torch.Tensor | None, *, draw: int, seed: int) -> torch.Tensor:
    """A number for each position by the whole row, the position and `draw`: int64 [B, L], in [0, 2³¹).

    As good as drawn at random, and the same for a row whatever its batch, and for a run that was resumed.

    Examples
    --------
    >>> row = torch.tensor([[5, 0, 7]])
    >>> bool((row_hashes(row, None, draw=0, seed=0) == row_hashes(row, None, draw=1, seed=0)).any())
    False
    """
    factor, salt = _constants(seed)
    length = input_ids.shape[1]
    powers = [1]
    for _ in range(length - 1):
        powers.append(powers[-1] * factor % _PRIME)
    powers = torch.tensor(powers).to(input_ids.device, non_blocking=True)
    rows = (_numbers(input_ids, attention_mask) * powers % _PRIME).sum(dim=1, keepdim=True) % _PRIME
    places = torch.arange(length, device=input_ids.device)
    values = _mixed((rows * factor + salt) % _PRIME) % _PRIME
    values = _mixed((values * factor + draw) % _PRIME) % _PRIME
    return _mixed((values * factor + places) % _PRIME)


def kept(hashes: torch.Tensor, scored: torch.Tensor, *, k: int) -> torch.Tensor:
    """Where a token is scored and not left out: its number is not in the lowest of `k` equal parts.

    Of a row that would lose all its scored tokens, the one with the highest number stays.

    Parameters
    ----------
    hashes : int64 tensor [B, L]
    scored : bool tensor [B, L]
    k : int

    Returns
    -------
    bool tensor [B, L]
        True once a row at least.

    Examples
    --------
    >>> hashes = torch.tensor([[0, 2**30, 2**31 - 1], [1, 3, 2]])
    >>> kept(hashes, torch.ones(2, 3, dtype=torch.bool), k=4).int()
    tensor([[0, 1, 1],
            [0, 1, 0]], dtype=torch.int32)
    """
    stays = scored & (hashes * k >= _HASHES)
    highest = hashes.masked_fill(~scored, -1).argmax(dim=1, keepdim=True)
    is_highest = torch.arange(hashes.shape[1], device=hashes.device) == highest
    return stays | (is_highest & ~stays.any(dim=1, keepdim=True))


def _numbers(input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> torch.Tensor:
    """Token numbers from 1 up, 0 at padding."""
    return input_ids + 1 if attention_mask is None else (input_ids + 1) * attention_mask


def _constants(seed: int) -> tuple[int, int]:
    digest = hashlib.sha256(f"goldfish {seed}".encode()).digest()
    factor, salt = (int.from_bytes(digest[start : start + 8], "big") for start in (0, 8))
    return 2**16 + factor % (_PRIME - 2**16), salt % _PRIME


def _mixed(values: torch.Tensor) -> torch.Tensor:
    """One number of 31 bits for another, so that neighbours are far apart."""
    for factor in (0x2C1B3C6D, 0x297A2D39):
        values = (values ^ (values >> 15)) * factor % _HASHES
    return values ^ (values >> 15)
