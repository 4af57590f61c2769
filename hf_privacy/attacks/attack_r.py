"""Attack-R: the loss as a percentile of what models trained without the example lose on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.attacks.inputs import nonnegative_vector
from hf_privacy.attacks.reference_inputs import check_reference_rows, refuse_always_in
from hf_privacy.attacks.reference_rows import References, count_in


def attack_r(loss: ArrayLike, reference_losses: References, reference_membership: References) -> NDArray[np.float64]:
    """Share of the example's OUT reference models whose loss on it lies strictly above the target's.

    1 − score is the false positive rate, for this very example, of calling it a member; it comes in steps of one over
    the number of OUT reference models, so examples tie unless these are many. A tied loss counts as not above, as in
    `attack_p`.

    Parameters
    ----------
    loss : array-like of float, shape [N]
        Loss of the target model on each example, ≥ 0.
    reference_losses : array-like of float, shape [K, N]
        The same of each reference model: an array, or a list of K arrays such as one memory-mapped file per model.
        Read row by row, so a few vectors of length N are held.
    reference_membership : array-like of bool, shape [K, N]
        True where reference model k was trained on example n; only the OUT ones are compared.

    Returns
    -------
    float64[N]
        In [0, 1], higher for likelier members.

    Raises
    ------
    InputError
        If shapes disagree, a loss is NaN, infinite or negative, membership is not boolean, or an example is IN for
        all reference models.

    References
    ----------
    Ye et al., "Enhanced membership inference attacks against machine learning models", CCS 2022 (arXiv 2111.09679),
    which smooths the reference losses by interpolation; ours counts them.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> references = [[0.1, 0.4], [2.0, 0.9], [1.0, 0.1]]
    >>> membership = [[True, False], [False, True], [False, False]]
    >>> attacks.attack_r([0.5, 0.2], references, membership)
    array([1. , 0.5])
    """
    losses = nonnegative_vector("loss", loss)
    rows, membership = check_reference_rows(
        "loss", len(losses), "reference_losses", reference_losses, reference_membership
    )
    n_in = count_in(membership)
    refuse_always_in(n_in, len(rows))
    above = np.zeros(len(losses), dtype=np.int64)
    for row, row_membership in zip(rows, membership, strict=True):
        above += ~row_membership & (nonnegative_vector("reference_losses", row) > losses)
    return above / (len(rows) - n_in)
