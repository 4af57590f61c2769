"""The curvature attack: LiRA's machinery on the log of the input-loss curvature."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice
from hf_privacy.attacks.reference_inputs import check_query_rows, refuse_always_in, refuse_never_in
from hf_privacy.attacks.reference_rows import References, count_in, side_moments
from hf_privacy.attacks.side_gaussians import Variance, check_variance, log_normal_density, side_variance

_FORMS = ("likelihood_ratio", "nll")


def curvature(
    log_curvature: ArrayLike,
    reference_log_curvature: References,
    reference_membership: References,
    *,
    form: Literal["likelihood_ratio", "nll"] = "likelihood_ratio",
    variance: Variance = "pooled",
    prior_degrees: float = 8.0,
) -> NDArray[np.float64]:
    """Membership score from the log curvature c of the loss around an example, under models with and without it.

    - ``likelihood_ratio``: log N(c; μ_in, σ_in) − log N(c; μ_out, σ_out), each side with its own scale. This is
      `lira` online on log curvature.
    - ``nll``: the difference of the two negative log-likelihoods, OUT less IN, **with the IN side's scale on both
      sides**: log N(c; μ_in, σ_in) − log N(c; μ_out, σ_in), which is (μ_in − μ_out)(c − (μ_in + μ_out)/2)/σ²_in. The
      logarithms of the scales cancel, so the score is linear in c: it rises without end towards the IN side, where
      the other form may bend back, and no OUT scale need be estimated.

    Neither takes a direction for granted: members usually lie at lower curvature than non-members, and the means say
    so. Several queries are treated as independent, as in `lira`.

    Parameters
    ----------
    log_curvature : array-like of float, shape [N] or [Q, N]
        Log of a curvature of the target's loss at the **true** label: of the squared norm, or of the zero-order
        estimate. Finite: put a floor under a curvature of zero before the logarithm.
    reference_log_curvature : array-like of float, shape [K, N] or [Q, K, N]
        The same of each reference model, by the same estimator and directions; an array, or a list of K arrays (Q
        such lists), read in place.
    reference_membership : array-like of bool, shape [K, N]
        True where reference model k was trained on example n.
    form : {"likelihood_ratio", "nll"}, default "likelihood_ratio"
    variance : {"per_example", "pooled", "shrunk", "global"}, default "pooled"
        As in `lira`; the paper's is ``per_example``, with 64 reference models. In the ``nll`` form it is that of the
        IN side.
    prior_degrees : float, default 8
        Of ``shrunk``.

    Returns
    -------
    float64[N]
        A log-likelihood ratio, higher for likelier members.

    Raises
    ------
    InputError
        If shapes disagree, a value is NaN or infinite (the logarithm of zero), membership is not boolean, there are
        fewer than two reference models, a form or variance is unknown, an example has no reference model on a side,
        or a variance cannot be estimated or is zero.

    References
    ----------
    Ravikumar, Soufleri and Roy, "Curvature clues: decoding deep learning privacy with input loss curvature", NeurIPS
    2024 (arXiv 2407.02747). The authors' code puts the variance where the Gaussian asks for the standard deviation,
    in both forms, and in ``likelihood_ratio`` adds up the likelihoods of the queries where independent evidence
    multiplies; ours does neither.

    Examples
    --------
    >>> references = [[0.0, 3.0], [2.0, 4.0], [4.0, 0.0], [8.0, 1.0]]
    >>> membership = [[True, False], [True, False], [False, True], [False, True]]
    >>> curvature([1.0, 3.5], references, membership, form="nll").round(3)
    array([10. , -3.6])
    """
    check_choice("form", form, _FORMS)
    check_variance(variance, prior_degrees)
    values, references, membership = check_query_rows(
        "log_curvature", log_curvature, "reference_log_curvature", reference_log_curvature, reference_membership
    )
    n_in = count_in(membership)
    refuse_always_in(n_in, len(membership))
    refuse_never_in(n_in, len(membership), "leave them out, or train reference models with them")

    total = np.zeros(values.shape[1])
    settings: dict[str, Any] = {
        "variance": variance,
        "prior_degrees": prior_degrees,
        "reference_name": "reference_log_curvature",
    }
    for query_values, query_rows in zip(values, references, strict=True):
        sides = side_moments("reference_log_curvature", query_rows, membership, n_in)
        in_variance = side_variance(n_in, sides.in_mean, sides.in_squares, side="IN", **settings)
        out_variance = in_variance
        if form == "likelihood_ratio":
            n_out = len(membership) - n_in
            out_variance = side_variance(n_out, sides.out_mean, sides.out_squares, side="OUT", **settings)
        total += log_normal_density(query_values, sides.in_mean, in_variance)
        total -= log_normal_density(query_values, sides.out_mean, out_variance)
    return total
