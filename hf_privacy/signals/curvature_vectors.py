"""Vectors of random signs, shared by the examples of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch


def random_vectors(
    points: torch.Tensor, free: torch.Tensor | None, *, n: int, generator: torch.Generator | None
) -> Callable[[int, slice], torch.Tensor]:
    """`n` Rademacher vectors of the shape of an example, drawn on the CPU.

    Every vector has a seed of its own and is drawn place after place, so that texts that are padded to another length
    get the same beginning of it; what an example gets starts at its first token that is free, on whichever side the
    padding stands.

    Parameters
    ----------
    points : tensor [B, ...]
        The batch; gives shape, dtype and device.
    free : bool tensor [B, L, 1], optional
        Which tokens may move; vectors are 0 at the others.
    n : int
    generator : torch.Generator, optional
        On the CPU; by default torch's global one. Gives the seeds.

    Returns
    -------
    callable
        From the vector's number and a slice of the batch to its values for those rows.

    Examples
    --------
    >>> vectors = random_vectors(torch.zeros(3, 4), None, n=2, generator=torch.Generator().manual_seed(0))
    >>> vectors(0, slice(0, 2)).abs().tolist()
    [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    seeds = torch.randint(0, 2**63 - 1, (n,), generator=generator).tolist()
    signs = torch.stack([_signs(points.shape[1:], seed) for seed in seeds]).to(points.device, points.dtype)
    if free is None:
        return lambda k, rows: signs[k].expand_as(points[rows])
    place = (free[..., 0].cumsum(1) - 1).clamp(min=0)  # of each token among the free ones of its text
    return lambda k, rows: signs[k][place[rows]] * free[rows]


def _signs(shape: torch.Size, seed: int) -> torch.Tensor:
    coins = torch.randint(0, 2, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(seed))
    return 2 * coins - 1
