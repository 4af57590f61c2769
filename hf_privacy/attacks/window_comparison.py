"""Window comparison (WBC): in how many stretches of a text the target is ahead of a reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import log_probabilities
from hf_privacy.attacks.ragged import by_length, ragged_rows
from hf_privacy.attacks.reference_inputs import refuse_always_in
from hf_privacy.attacks.reference_rows import References, as_table, count_in, membership_rows
from hf_privacy.errors import InputError

# round(2 · 20^(k/9)) for k = 0, …, 9: from 2 to 40 tokens, each about 1.4 times the one before.
WIDTHS = tuple(round(2 * 20 ** (step / 9)) for step in range(10))


def window_comparison(
    log_prob: ArrayLike,
    reference_log_prob: References,
    offsets: ArrayLike,
    *,
    reference_membership: References | None = None,
) -> NDArray[np.float64]:
    """Share of a row's windows in which the target finds the tokens likelier than a reference model does.

    With Δ_t = l_t(target) − l_t(reference), T(w) is the share of the n − w + 1 windows of w tokens with ΣΔ > 0, and
    the score the mean of T(w) over the widths 2, 3, 4, 5, 8, 11, 15, 21, 29 and 40. A mean of Δ is ruled by a few
    tokens with large differences, while training on a text moves many a little: signs count each stretch once.

    Widths above n are left out; a row of one token is one window of it. Equal models score 0.

    Parameters
    ----------
    log_prob : array-like of float, shape [T]
        l_t = log p(x_t | x_<t) of every scored token under the target, in nats, ≤ 0: the rows one after the other.
    reference_log_prob : array-like of float, shape [T] or [K, T]
        The same of the base checkpoint, or of each of K reference models: an array, or a list of K arrays such as one
        memory-mapped file per model. Each gives a score of its own, and their mean is returned.
    offsets : array-like of int, shape [N + 1]
        Where each row starts, from 0, and T at the end. No row may be empty.
    reference_membership : array-like of bool, shape [K, N], optional
        True where reference model k was trained on row n: the mean is then over a row's OUT reference models. By
        default over all.

    Returns
    -------
    float64[N]
        In [0, 1], higher for likelier members.

    Raises
    ------
    InputError
        If shapes disagree, a log-probability is NaN, infinite or positive, the offsets do not fit, rows hold no token
        (how many), membership is not boolean, or a row is IN for all reference models.

    References
    ----------
    Chen et al., "Window-based membership inference attacks against fine-tuned large language models", USENIX Security
    2026 (arXiv 2601.02751), with one reference model. Rows shorter than a width are ours.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.window_comparison([-1.0, -1.0, -1.0, -2.0], [-2.0, -1.5, -4.0, -1.0], offsets=[0, 3, 4])
    array([1., 0.])
    """
    starts, (values,) = ragged_rows(offsets, log_prob=log_probabilities("log_prob", log_prob))
    table = as_table("reference_log_prob", reference_log_prob)
    if len(table.shape) not in (1, 2) or table.shape[-1] != len(values) or not table.rows:
        raise InputError(
            f"reference_log_prob has shape {table.shape} and log_prob {len(values):,} values: pass the same tokens, "
            "[T] of one reference model or [K, T]"
        )
    n_rows, n_references = len(starts) - 1, len(table.rows)
    if reference_membership is None:
        is_out = [np.ones(n_rows, dtype=np.bool_)] * n_references
    else:
        membership = membership_rows("reference_membership", reference_membership, (n_references, n_rows))
        refuse_always_in(count_in(membership), n_references)
        is_out = [~row for row in membership]
    total = np.zeros(n_rows)
    for row, out in zip(table.rows, is_out, strict=True):
        total += out * _share_ahead(values - log_probabilities("reference_log_prob", row), starts)
    return total / count_in(is_out)


def _share_ahead(difference: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of T(w) of every row, from the flat Δ."""
    scores = np.empty(len(offsets) - 1)
    for rows, positions in by_length(offsets):
        table = difference[positions]
        length = table.shape[1]
        widths = [width for width in WIDTHS if width <= length] or [length]
        # Windows grow by a token a step, so that each sum is of its own tokens alone: differences of running sums
        # would carry the rounding of the tokens before, and with it the sign of what is about zero.
        window, shares = table, np.zeros(len(rows))
        for width in range(1, widths[-1] + 1):
            if width > 1:
                window = window[:, :-1] + table[:, width - 1 :]
            if width in widths:
                shares += (window > 0).mean(axis=1)
        scores[rows] = shares / len(widths)
    return scores
