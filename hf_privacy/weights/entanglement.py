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

_Pair = tuple[torch.Tensor, torch.Tensor]  # a parameter's two scores, flat


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
    pairs: dict[str, list[_Pair]] = {}
    for name, kind in kinds.items():
        if name in scores_a:
            a, b = scores_a[name], scores_b[name]
            if a.shape != b.shape:
                raise InputError(f"{name} has shape {tuple(a.shape)} in scores_a and {tuple(b.shape)} in scores_b")
            if not (bool(a.isfinite().all()) and bool(b.isfinite().all())):
                raise InputError(f"the scores of {name} hold NaN or infinite values: pass finite scores")
            pairs.setdefault(kind, []).append((a.detach().reshape(-1), b.detach().reshape(-1)))
    pairs["all"] = [pair for of_kind in pairs.values() for pair in of_kind]
    return {kind: _pearson(of_kind) for kind, of_kind in pairs.items()}


def _pearson(pairs: list[_Pair]) -> float | None:
    """Around the means of all pairs, a chunk of a tensor at a time."""
    n = sum(len(a) for a, _ in pairs)
    if n < 2:
        return None
    mean_x, mean_y = (
        sum(float(chunk.double().sum()) for pair in pairs for chunk in pair[side].split(_CHUNK)) / n for side in (0, 1)
    )
    xx = yy = xy = 0.0
    for a, b in pairs:
        for x, y in zip(a.split(_CHUNK), b.split(_CHUNK), strict=True):
            x = x.double() - mean_x
            y = y.to(x) - mean_y
            xx, yy, xy = xx + float(x @ x), yy + float(y @ y), xy + float(x @ y)
    if not math.isfinite(xx + yy):
        raise InputError("the squares of scores leave float64: pass smaller scores")
    # The centred values of a constant vector are rounding errors of its mean, not a spread.
    if any(
        math.sqrt(squares / n) <= 1e-12 * abs(mean) or squares == 0 for mean, squares in ((mean_x, xx), (mean_y, yy))
    ):
        return None
    return max(-1.0, min(1.0, xy / (math.sqrt(xx) * math.sqrt(yy))))
