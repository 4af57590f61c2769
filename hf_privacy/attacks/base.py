"""BASE: the target's log-probability of the true class, less that of an average of models."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice
from hf_privacy.attacks.inputs import log_probabilities
from hf_privacy.attacks.reference_inputs import check_reference_rows, refuse_always_in, refuse_never_in
from hf_privacy.attacks.reference_rows import References, as_table, count_in
from hf_privacy.errors import InputError

_MODES = ("all", "balanced", "offline")


def base(
    log_prob: ArrayLike,
    reference_log_probs: References,
    *,
    reference_membership: References | None = None,
    mode: Literal["all", "balanced", "offline"] | None = None,
) -> NDArray[np.float64]:
    """Membership score of BASE: log p_y(θ) − log p̄_y, with p̄_y a mean of p_y over reference models.

    With p̄_y the mean over all K of them this is log p_y(θ) − logsumexp_k log p_y(θ_k) + log K. The logarithm of the
    mean is summed up in a stream and never leaves the log scale, so probabilities of e⁻¹⁰⁰⁰ do not underflow.

    Parameters
    ----------
    log_prob : array-like of float, shape [N]
        log p_y of the target model, in nats, ≤ 0: the negative cross-entropy, not the loss.
    reference_log_probs : array-like of float, shape [K, N]
        The same of each reference model: an array, or a list of K arrays. Read row by row, so a few vectors of length
        N are held. One reference model is enough; the score is then the difference of the two.
    reference_membership : array-like of bool, shape [K, N], optional
        True where reference model k was trained on example n. Required by ``balanced`` and ``offline``.
    mode : {"all", "balanced", "offline"}, optional
        By default ``balanced`` where the membership is given and ``all`` where it is not.

        - ``all``: mean over all reference models, as in the paper; it asks nothing about their training sets;
        - ``balanced``: half the mean over the example's IN plus half the mean over its OUT reference models, which
          takes out chance differences in how many there are of each;
        - ``offline``: mean over the OUT reference models.

    Returns
    -------
    float64[N]
        In nats, higher for likelier members.

    Raises
    ------
    InputError
        If shapes disagree, a log-probability is NaN, infinite or positive, the mode is unknown, membership is not
        boolean or missing where the mode needs it, or an example has no reference model on a side that the mode
        needs.

    References
    ----------
    Lassila et al., "Practical Bayes-optimal membership inference attacks", NeurIPS 2025 (arXiv 2505.24089).
    ``balanced`` is ours, after RMIA's p(x) (Zarifzadeh et al., ICML 2024, arXiv 2312.03262).

    Examples
    --------
    >>> import numpy as np
    >>> from hf_privacy import attacks
    >>> references = np.log([[0.9, 0.5], [0.1, 0.5]])
    >>> attacks.base(np.log([0.8, 0.5]), references).round(4)
    array([0.47, 0.  ])
    >>> membership = [[True, False], [False, True]]
    >>> attacks.base(np.log([0.8, 0.5]), references, reference_membership=membership, mode="offline").round(4)
    array([2.0794, 0.    ])
    """
    if mode is None:
        mode = "all" if reference_membership is None else "balanced"
    check_choice("mode", mode, _MODES)
    if mode != "all" and reference_membership is None:
        raise InputError(f"reference_membership is missing and mode={mode!r} needs it: pass it, or use mode='all'")
    target = log_probabilities("log_prob", log_prob)
    if reference_membership is None or mode == "all":
        # Where all count alike they may all be called OUT. One row of memory stands for the K.
        shape = as_table("reference_log_probs", reference_log_probs).shape
        reference_membership = np.broadcast_to(np.zeros(shape[-1:], dtype=np.bool_), shape)
    rows, membership = check_reference_rows(
        "log_prob", len(target), "reference_log_probs", reference_log_probs, reference_membership
    )
    n_in = count_in(membership)
    if mode != "all":
        refuse_always_in(n_in, len(rows))
    if mode == "balanced":
        refuse_never_in(n_in, len(rows), "use mode='offline' or 'all', or leave them out")

    in_log_sum, out_log_sum = np.full(len(target), -np.inf), np.full(len(target), -np.inf)
    for row, is_in in zip(rows, membership, strict=True):
        log_probs = log_probabilities("reference_log_probs", row)
        np.logaddexp(out_log_sum, log_probs, out=out_log_sum, where=~is_in)
        if mode == "balanced":
            np.logaddexp(in_log_sum, log_probs, out=in_log_sum, where=is_in)
    log_mean = out_log_sum - np.log(len(rows) - n_in)
    if mode == "balanced":
        log_mean = np.logaddexp(in_log_sum - np.log(n_in), log_mean) - np.log(2.0)
    return target - log_mean
