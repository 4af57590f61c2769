"""How closely proxies follow memorization scores: Pearson, Spearman and cosine, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import LARGEST_SEED, check_instance, check_seed, check_whole
from hf_privacy.arrays import finite_vector, squarable
from hf_privacy.errors import InputError
from hf_privacy.statistics.checks import check_confidence
from hf_privacy.statistics.clusters import group_of_each

_KINDS = ("pearson", "spearman", "cosine")


def correlation_table(
    scores: ArrayLike,
    proxies: Mapping[str, ArrayLike],
    *,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> dict[str, dict[str, Any]]:
    """Pearson's, Spearman's and the cosine correlation of each proxy with the scores.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Such as `feldman_zhang`'s.
    proxies : mapping of str to array-like of float, shape [N]
        By name: those of `hf_privacy.memorization.proxies`, a final curvature, anything with one number an example.
    n_resamples : int, default 1000
        At least 2/(1 − confidence).
    confidence : float, default 0.95
    seed : int, default 0
    groups : array-like of int or str, shape [N], optional
        What is drawn together, such as the author of an example: the resamples are of whole groups.

    Returns
    -------
    dict of str to dict
        Per proxy ``pearson``, ``spearman`` (mid-ranks for ties) and ``cosine`` (of the raw values, nothing taken
        out), each with ``…_low`` and ``…_high``; ``n_examples``, ``confidence``. A proxy that is constant has
        ``n_examples`` and a ``reason`` instead.

    Raises
    ------
    InputError
        If lengths differ, a value is not finite, the scores are constant, there are fewer than three examples or no
        proxies, or an option is out of range.

    Notes
    -----
    The intervals are percentiles of resampled examples (or groups), ranked anew in each resample. Fisher's
    transformation is not used: it takes both quantities to be jointly normal, and memorization scores pile up at 0.
    All proxies see the same resamples. A resample in which a proxy is constant counts as a correlation of 0.

    They cover the choice of examples, not chance in the models: noise in the scores draws a correlation towards 0, by
    up to the root of their `reliability`. The cosine of two quantities that are both positive is high whatever
    their relation; it is here because the papers report it.

    Examples
    --------
    >>> scores = [0.0, 0.1, 0.4, 0.9, 0.2]
    >>> table = correlation_table(scores, {"curvature": [1.0, 2.0, 4.0, 8.0, 3.0], "none": [1, 1, 1, 1, 1]})
    >>> round(table["curvature"]["pearson"], 3), table["curvature"]["spearman"]
    (0.997, 1.0)
    >>> table["none"]["reason"]
    'none is constant'
    """
    level = check_confidence(confidence)
    tail = (1.0 - level) / 2
    values = squarable("scores", finite_vector("scores", scores))
    n_examples = len(values)
    n_resamples = check_whole("n_resamples", n_resamples, at_least=1)
    generator = np.random.default_rng(check_seed(seed, at_most=LARGEST_SEED))
    if n_resamples * tail < 1.0 - 1e-9:
        raise InputError(
            f"n_resamples is {n_resamples:,}: a confidence of {level:g} needs at least {np.ceil(1 / tail):,.0f}"
        )
    if n_examples < 3:
        raise InputError(f"scores have {n_examples} examples: a correlation needs at least 3")
    if values.max() == values.min():
        raise InputError(f"scores are {values[0]:g} for all {n_examples:,} examples: nothing can follow them")
    check_instance("proxies", proxies, Mapping)
    if not proxies:
        raise InputError("proxies are empty: pass at least one, by name")
    columns = {
        name: squarable(name, finite_vector(name, proxy, n_examples=n_examples)) for name, proxy in proxies.items()
    }
    varying = [name for name, column in columns.items() if column.max() != column.min()]
    table: dict[str, dict[str, Any]] = {
        name: {"n_examples": n_examples, "reason": f"{name} is constant"} for name in columns
    }
    if not varying:
        return table
    both = np.stack([values, *(columns[name] for name in varying)], axis=1)
    levels = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in both.T]
    point = _correlations(both, levels, np.ones(n_examples))
    group = group_of_each(groups, n_examples)
    n_groups = int(group.max()) + 1
    resampled = np.empty((n_resamples, len(_KINDS), len(varying)))
    for resample in resampled:
        drawn = np.bincount(generator.integers(n_groups, size=n_groups), minlength=n_groups)[group]
        resample[:] = _correlations(both, levels, drawn.astype(np.float64))
    low, high = np.quantile(resampled, [tail, 1.0 - tail], axis=0)
    for number, name in enumerate(varying):
        entry: dict[str, Any] = {}
        for row, kind in enumerate(_KINDS):
            entry[kind] = float(point[row, number])
            entry[f"{kind}_low"], entry[f"{kind}_high"] = float(low[row, number]), float(high[row, number])
        table[name] = {**entry, "n_examples": n_examples, "confidence": level}
    return table


def _correlations(
    values: NDArray[np.float64], levels: list[NDArray[np.int64]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Pearson, Spearman and cosine [3, V − 1] of the first column with the others, under weights of the examples."""
    ranks = np.stack([_ranks(level, weights) for level in levels], axis=1)
    total = weights.sum()
    return np.stack(
        [
            _cosine(values - weights @ values / total, weights),
            _cosine(ranks - weights @ ranks / total, weights),
            _cosine(values, weights),
        ]
    )


def _cosine(columns: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    products = (columns[:, 0] * weights) @ columns[:, 1:]
    squares = weights @ (columns * columns)
    scale = np.sqrt(squares[0] * squares[1:])
    return np.clip(np.divide(products, scale, out=np.zeros_like(products), where=scale > 0), -1.0, 1.0)


def _ranks(level: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mid-ranks of examples that occur as often as their weights say, from their place among the distinct values."""
    count = np.bincount(level, weights=weights)
    return (np.cumsum(count) - count / 2)[level]
