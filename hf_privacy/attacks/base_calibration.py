"""Calibration by the base checkpoint: what fine-tuning changed."""

from __future__ import annotations

from numpy import float64
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite_vector
from hf_privacy.errors import InputError


def base_calibration(signal: ArrayLike, base_signal: ArrayLike) -> NDArray[float64]:
    """Signal of the fine-tuned model less that of the checkpoint it started from.

    An example that the base model finds easy has a high signal without having been trained on; the difference takes
    that out.

    Parameters
    ----------
    signal : array-like of float, shape [N]
        Of the target model, higher for likelier members, such as φ or the negative loss.
    base_signal : array-like of float, shape [N]
        The same signal of the base checkpoint, on the same examples in the same order.

    Returns
    -------
    float64[N]
        Higher for likelier members.

    Raises
    ------
    InputError
        If either is empty, not one-dimensional, NaN or infinite, or their lengths differ.

    References
    ----------
    Watson et al., "On the importance of difficulty calibration in membership inference attacks", ICLR 2022 (arXiv
    2111.08440), with the base checkpoint as the one reference.

    Examples
    --------
    >>> from hf_privacy import attacks
    >>> attacks.base_calibration([-0.5, -0.5], base_signal=[-3.0, -0.5])
    array([2.5, 0. ])
    """
    tuned = finite_vector("signal", signal)
    base = finite_vector("base_signal", base_signal)
    if len(tuned) != len(base):
        raise InputError(f"base_signal has {len(base):,} rows and signal {len(tuned):,}: pass one value per example")
    return tuned - base


base_difference = base_calibration  # what it is called of language models, with −loss as the signal
