"""LiRA: the likelihood ratio of a signal under models trained with and without the example."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice
from hf_privacy.attacks.reference_inputs import check_query_rows, refuse_always_in, refuse_never_in
from hf_privacy.attacks.reference_rows import References, count_in, side_moments
from hf_privacy.attacks.side_gaussians import (
    check_variance,
    log_normal_density,
    rising_normal_cdf,
    side_variance,
)

_MODES = ("online", "offline")


def lira(
    signal: ArrayLike,
    reference_signals: References,
    reference_membership: References,
    *,
    mode: Literal["online", "offline"] = "online",
    variance: Literal["per_example", "pooled", "shrunk", "global"] = "pooled",
    prior_degrees: float = 8.0,
) -> NDArray[np.float64]:
    """Membership score of the likelihood-ratio attack, with a Gaussian for each side of each example.

    Online: log N(φ; μ_in, σ_in) − log N(φ; μ_out, σ_out). Offline: Φ((φ − μ_out)/σ_out), **one-sided**: a signal
    far below what models without the example show is no sign of membership (the authors' code scores both sides).

    Several queries of an example (augmentations) are treated as independent: their log-likelihood ratios are summed,
    and offline their standard scores are summed and divided by the root of their number. They are not independent in
    truth, which leaves the order of examples meaningful but not the size of the score.

    Parameters
    ----------
    signal : array-like of float, shape [N] or [Q, N]
        φ = logit_y − logsumexp_{j≠y} logit_j of the target model, per query and example.
    reference_signals : array-like of float, shape [K, N] or [Q, K, N]
        The same of each reference model: an array, or a list of K arrays of length N (Q such lists), such as one
        memory-mapped file per model. Read in place, a stretch of examples at a time, so what is memory-mapped stays
        on disk and about ten vectors of length N are held, however many reference models there are.
    reference_membership : array-like of bool, shape [K, N]
        True where reference model k was trained on example n; also a list of K arrays.
    mode : {"online", "offline"}, default "online"
        Offline uses the OUT side alone.
    variance : {"per_example", "pooled", "shrunk", "global"}, default "pooled"
        Per query, IN and OUT apart, with n reference models on a side of an example and SS their summed squared
        distance from its mean:

        - ``per_example``: SS/(n − 1); wants dozens of reference models a side;
        - ``pooled``: one for all examples, ΣSS/Σ(n − 1), around each example's own mean;
        - ``shrunk``: (ν₀·σ²_pooled + SS)/(ν₀ + n − 1);
        - ``global``: one for all examples, the mean squared distance of all values from their one grand mean. Blind
          to how much of it is examples differing from one another, so wider than ``pooled``, but the only one that
          two reference models, one a side, can give.
    prior_degrees : float, default 8
        ν₀ of ``shrunk``, > 0: how many observations the pooled variance counts for. No paper gives a value; eight
        weighs it about as much as 16 reference models in random halves.

    Returns
    -------
    float64[N]
        Higher for likelier members. Online it is a log-likelihood ratio; offline it lies in [0, 1] and, since Φ
        would round to 1 and tie the most exposed examples, rises on beyond six standard deviations, within 1e-9 of Φ.

    Raises
    ------
    InputError
        If shapes disagree, a value is NaN or infinite, membership is not boolean, there are fewer than two reference
        models, a mode or variance is unknown, an example has no reference model on a side that the mode needs, a
        variance cannot be estimated (too few reference models) or is zero, or a square overflows.

    References
    ----------
    Carlini et al., "Membership inference attacks from first principles", IEEE S&P 2022 (arXiv 2112.03570),
    algorithm 1. ``global`` is the ``fix_variance`` of the authors' code, save that theirs takes the IN deviation for
    the OUT side too and medians for means; ``pooled`` takes each example's mean out first.

    Examples
    --------
    >>> references = [[2.0, 0.0], [4.0, 1.0], [0.0, 3.0], [1.0, 5.0]]
    >>> membership = [[True, False], [True, False], [False, True], [False, True]]
    >>> lira([3.0, 0.5], references, membership).round(3)
    array([ 5.557, -3.756])
    """
    check_choice("mode", mode, _MODES)
    check_variance(variance, prior_degrees)
    signals, references, membership = check_query_rows(
        "signal", signal, "reference_signals", reference_signals, reference_membership
    )
    n_in = count_in(membership)
    refuse_always_in(n_in, len(membership))
    if mode == "online":
        refuse_never_in(n_in, len(membership), "use mode='offline', or leave them out")

    total = np.zeros(signals.shape[1])
    n_out = len(membership) - n_in
    settings: dict[str, Any] = {
        "variance": variance,
        "prior_degrees": prior_degrees,
        "reference_name": "reference_signals",
    }
    for query_signal, query_rows in zip(signals, references, strict=True):
        sides = side_moments("reference_signals", query_rows, membership, n_in)
        out_variance = side_variance(n_out, sides.out_mean, sides.out_squares, side="OUT", **settings)
        if mode == "offline":
            total += (query_signal - sides.out_mean) / np.sqrt(out_variance)
            continue
        in_variance = side_variance(n_in, sides.in_mean, sides.in_squares, side="IN", **settings)
        total += log_normal_density(query_signal, sides.in_mean, in_variance)
        total -= log_normal_density(query_signal, sides.out_mean, out_variance)
    if mode == "offline":
        return rising_normal_cdf(total / np.sqrt(len(signals)))
    return total
