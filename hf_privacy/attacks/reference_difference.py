"""Reference difference: the signal against that of models which were not trained on the example."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite_vector
from hf_privacy.attacks.reference_inputs import check_reference_rows, refuse_always_in
from hf_privacy.attacks.reference_rows import References, count_in, side_moments


def reference_difference(
    signal: ArrayLike, reference_signals: References, reference_membership: References
) -> NDArray[np.float64]:
    """Signal of the target less its mean over the example's OUT reference models.

    `base_calibration` with what training on other examples of the source does taken out too.

    Parameters
    ----------
    signal : array-like of float, shape [N]
        Of the target model, higher for likelier members, such as φ or the negative loss.
    reference_signals : array-like of float, shape [K, N]
        The same of each reference model: an array, or a list of K arrays such as one memory-mapped file per model.
        Read in place, a stretch of examples at a time.
    reference_membership : array-like of bool, shape [K, N]
        True where reference model k was trained on example n; only the OUT ones are read.

    Returns
    -------
    float64[N]
        Higher for likelier members.

    Raises
    ------
    InputError
        If shapes disagree, a value is NaN or infinite, membership is not boolean, or an example is IN for all
        reference models.

    References
    ----------
    Watson et al., "On the importance of difficulty calibration in membership inference attacks", ICLR 2022 (arXiv
    2111.08440).

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> references = [[-0.1, -2.0], [-3.0, -1.0], [-2.0, -3.0]]
    >>> membership = [[True, False], [False, False], [False, False]]
    >>> attacks.reference_difference([-0.5, -2.0], references, membership)
    array([2., 0.])
    """
    target = finite_vector("signal", signal)
    rows, membership = check_reference_rows(
        "signal", len(target), "reference_signals", reference_signals, reference_membership
    )
    n_in = count_in(membership)
    refuse_always_in(n_in, len(rows))
    return target - side_moments("reference_signals", rows, membership, n_in).out_mean
