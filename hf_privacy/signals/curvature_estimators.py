"""Three estimators of how sharply each example's loss bends around its input.

They see a model only as a function `losses` from points and the rows of the batch they belong to, to one loss each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from hf_privacy.errors import InputError
from hf_privacy.signals.curvature_model import check_second_derivative, exact_dtype

# What each method gives, in order.
RESULTS = {
    "hvp": ("trace", "squared_norm", "norm"),
    "finite_difference": ("trace", "squared_norm", "norm"),
    "zero_order": ("zero_order", "squared_norm"),
}
METHODS = tuple(RESULTS)

Losses = Callable[[torch.Tensor, slice], torch.Tensor]  # points [b, ...] of those rows -> [b]
Vectors = Callable[[int, slice], torch.Tensor]  # the k-th random vector, for the points of those rows


def by_hessian_products(
    losses: Losses, points: torch.Tensor, vectors: Vectors, n: int, *, part_size: int
) -> dict[str, torch.Tensor]:
    """Exact products Hv by differentiating the gradient once more, one vector after the other.

    Double backward shares one forward and one backward pass among all vectors, and keeps both, for `part_size`
    examples at a time. Forward mode over reverse mode (``torch.func.jvp`` of ``torch.func.grad``) repeats both for
    each vector: see ``recipes/benchmarks/curvature``, where it took about twice as long.

    Returns
    -------
    dict of str to tensor [B]
        "trace", "squared_norm", "norm": means of vᵀHv, ‖Hv‖² and ‖Hv‖ over the vectors.
    """
    parts = []
    for start in range(0, len(points), part_size):
        rows = slice(start, start + part_size)
        x = points[rows].detach().clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(total(losses(x, rows)), x, create_graph=True)
        check_second_derivative(gradient)
        sums = _Sums(x)
        for k in range(n):
            v = vectors(k, rows)
            (product,) = torch.autograd.grad(gradient, x, v, retain_graph=k < n - 1)
            sums.add(v, product)
            del product
        parts.append(sums.means())
        del gradient, x
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def by_finite_differences(
    losses: Losses, points: torch.Tensor, vectors: Vectors, n: int, *, h: float | torch.Tensor
) -> dict[str, torch.Tensor]:
    """Hv as (∇ℓ(x + hv) − ∇ℓ(x)) / h: n + 1 gradients, exact to first order in h; a tensor has a step a point.

    Returns
    -------
    dict of str to tensor [B]
        As :func:`by_hessian_products`.
    """
    rows = slice(0, len(points))
    sums = _Sums(points)
    at_point = _gradient(losses, points, rows)
    for k in range(n):
        v = vectors(k, rows)
        sums.add(v, (_gradient(losses, points + h * v, rows) - at_point) / h)
    return sums.means()


def by_zero_order(
    losses: Losses, points: torch.Tensor, vectors: Vectors, n: int, *, h: float | torch.Tensor
) -> dict[str, torch.Tensor]:
    """vᵀHu from losses alone, for n pairs of vectors (2n in all), each with four forward passes.

    A tensor `h`, [B, 1, ...], has a step a point.

    Returns
    -------
    dict of str to tensor [B]
        "zero_order" and "squared_norm": means of |vᵀHu| and (vᵀHu)².
    """
    rows = slice(0, len(points))
    absolute = torch.zeros((), device=points.device)
    squared = torch.zeros((), device=points.device)
    area = 4 * h * h if isinstance(h, float) else 4 * h.flatten().square()
    with torch.no_grad():
        for k in range(n):
            v, u = h * vectors(2 * k, rows), h * vectors(2 * k + 1, rows)
            same = losses(points + (v + u), rows) + losses(points - (v + u), rows)
            opposite = losses(points - (v - u), rows) + losses(points + (v - u), rows)
            product = (same - opposite) / area
            absolute, squared = absolute + product.abs(), squared + product.square()
    return {"zero_order": absolute / n, "squared_norm": squared / n}


def smallest_step(method: str, dtype: torch.dtype, largest: float) -> float:
    """The least step h whose differences are not drowned by rounding.

    √ε of the dtype for differences of gradients and ε^¼/2 for second differences of losses, near where rounding and
    truncation balance; and 100 times the rounding of the `largest` input, lest x + hv is not along v. 0 without steps.

    Examples
    --------
    >>> f"{smallest_step('finite_difference', torch.float32, 1.0):.1g}"
    '0.0003'
    >>> f"{smallest_step('zero_order', torch.float32, 1.0):.1g} {smallest_step('zero_order', torch.float64, 1.0):.1g}"
    '0.009 6e-05'
    """
    if method == "hvp":
        return 0.0
    rounding = torch.finfo(dtype).eps
    of_dtype = rounding**0.5 if method == "finite_difference" else rounding**0.25 / 2
    return max(of_dtype, 100 * rounding * largest)


class _Sums:
    """What is summed over the vectors for each example."""

    def __init__(self, points: torch.Tensor) -> None:
        self._dtype = exact_dtype(points.device)
        self._count = 0
        zeros = torch.zeros(len(points), dtype=self._dtype, device=points.device)
        self._sums: Mapping[str, torch.Tensor] = {name: zeros.clone() for name in ("trace", "squared_norm", "norm")}

    def add(self, v: torch.Tensor, product: torch.Tensor) -> None:
        norm = torch.linalg.vector_norm(product.flatten(1), dim=1, dtype=self._dtype)
        self._sums["norm"].add_(norm)
        self._sums["squared_norm"].add_(norm.square())
        self._sums["trace"].add_((v * product).flatten(1).sum(1, dtype=self._dtype))
        self._count += 1

    def means(self) -> dict[str, torch.Tensor]:
        return {name: total / self._count for name, total in self._sums.items()}


def _gradient(losses: Losses, points: torch.Tensor, rows: slice) -> torch.Tensor:
    x = points.detach().clone().requires_grad_(True)
    return torch.autograd.grad(total(losses(x, rows)), x)[0]


def total(losses: torch.Tensor) -> torch.Tensor:
    """Their sum, so that the gradient of an example is that of its own loss, whatever the number of batch-mates."""
    if not losses.requires_grad:
        raise InputError(
            "model's loss does not depend on its inputs by differentiable operations: input curvature does not exist "
            "for it, or use method='zero_order' with an h of the size of its steps"
        )
    return losses.sum()
