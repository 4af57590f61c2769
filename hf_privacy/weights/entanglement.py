"""How far two scores of the same weights agree: Pearson correlation by kind of layer."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from hf_privacy.errors import InputError
from hf_privacy.weights.checks import check_tensors
from hf_privacy.weights.kinds import weight_kinds

_CHUNK = 1 << 20


def pearson_by_kind(
    scores_a: Mapping[str, torch.Tensor], scores_b: Mapping[str, torch.Tensor], model: nn.Module
) -> dict[str, float | None]:
    """Pearson correlation of two scores over the weights of each kind of layer and over all.

    Parameters
    ----------
    scores_a, scores_b : mapping of str to tensor
        Finite scores of the same parameters, such as privacy vulnerability and Taylor.
    model : torch.nn.Module
        The model they are of; it says which kind each parameter is, see `weight_kinds`.

    Returns
    -------
    dict of float
        In [-1, 1], by kind ("conv", "linear", …) in the order of the model, then "all". None where a kind has a
        single weight or one of the scores does not vary: there is no correlation then. Sums are in float64, in
        chunks.

    Raises
    ------
    InputError
        If the two do not hold the same parameters in the same shapes, the model lacks one of them, there are none,
        or a score is not finite.

    References
    ----------
    CWRF (arXiv 2603.13186), entanglement of privacy vulnerability and learnability.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(3, 1, bias=False), nn.LayerNorm(1, bias=False))
    >>> a = {"0.weight": torch.tensor([[1.0, 2.0, 3.0]]), "1.weight": torch.tensor([5.0])}
    >>> b = {"0.weight": torch.tensor([[2.0, 4.0, 6.0]]), "1.weight": torch.tensor([0.0])}
    >>> {kind: None if r is None else round(r, 3) for kind, r in pearson_by_kind(a, b, net).items()}
    {'linear': 1.0, 'norm': None, 'all': -0.378}
    """
    check_tensors("scores_a", scores_a)
    check_tensors("scores_b", scores_b)
    if set(scores_a) != set(scores_b):
        odd = sorted(set(scores_a) ^ set(scores_b))
        raise InputError(f"scores_a and scores_b differ in {odd[0]}: pass scores of the same parameters")
    if not scores_a:
        raise InputError("scores are empty: pass scores of at least one parameter")
    kinds = weight_kinds(model)
    unknown = sorted(set(scores_a) - set(kinds))
    if unknown:
        raise InputError(f"scores hold {unknown[0]}: the {type(model).__name__} has no parameter of that name")
    moments: dict[str, _Moments] = {}
    for name, kind in kinds.items():
        if name in scores_a:
            _add(moments.setdefault(kind, _Moments()), name, scores_a[name], scores_b[name])
    overall = _Moments()
    for part in moments.values():
        overall.merge(part)
    return {**{kind: part.pearson() for kind, part in moments.items()}, "all": overall.pearson()}


def _add(moments: _Moments, name: str, a: torch.Tensor, b: torch.Tensor) -> None:
    if a.shape != b.shape:
        raise InputError(f"{name} has shape {tuple(a.shape)} in scores_a and {tuple(b.shape)} in scores_b")
    flat_a, flat_b = a.detach().reshape(-1), b.detach().reshape(-1)
    for start in range(0, flat_a.numel(), _CHUNK):
        x = flat_a[start : start + _CHUNK].double()
        y = flat_b[start : start + _CHUNK].to(x)
        part = _Moments.of(x, y)
        if not all(map(math.isfinite, (part.xx, part.yy, part.xy))):
            raise InputError(f"the scores of {name} hold NaN or infinite values: pass finite scores")
        moments.merge(part)


class _Moments:
    """Count, means and centred sums of squares and products, merged without loss (Chan, Golub and LeVeque)."""

    def __init__(
        self, n: int = 0, x: float = 0.0, y: float = 0.0, xx: float = 0.0, yy: float = 0.0, xy: float = 0.0
    ) -> None:
        self.n, self.x, self.y, self.xx, self.yy, self.xy = n, x, y, xx, yy, xy

    @classmethod
    def of(cls, x: torch.Tensor, y: torch.Tensor) -> _Moments:
        mean_x, mean_y = x.mean(), y.mean()
        x, y = x - mean_x, y - mean_y
        return cls(len(x), float(mean_x), float(mean_y), float(x @ x), float(y @ y), float(x @ y))

    def merge(self, other: _Moments) -> None:
        n = self.n + other.n
        if n == 0:
            return
        dx, dy, share = other.x - self.x, other.y - self.y, self.n * other.n / n
        self.xx += other.xx + dx * dx * share
        self.yy += other.yy + dy * dy * share
        self.xy += other.xy + dx * dy * share
        self.x += dx * other.n / n
        self.y += dy * other.n / n
        self.n = n

    def pearson(self) -> float | None:
        # The centred values of a constant vector are rounding errors of its mean, not a spread.
        if self.n < 2 or self._is_constant(self.x, self.xx) or self._is_constant(self.y, self.yy):
            return None
        return max(-1.0, min(1.0, self.xy / (math.sqrt(self.xx) * math.sqrt(self.yy))))

    def _is_constant(self, mean: float, squares: float) -> bool:
        return math.sqrt(squares / self.n) <= 1e-12 * abs(mean) or squares == 0.0
