"""Cheap stand-ins for memorization, read off one training run: tables of epochs × examples in, one number each out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite, plain_array, real_array
from hf_privacy.errors import InputError

# Of a difference of two probability vectors: a right corner against a wrong one.
_LARGEST_EL2N = np.sqrt(2.0)
_ROUNDING = 1e-6


class ForgettingEvents(NamedTuple):
    """How often each example was forgotten, and which were never learned at all, whose count of 0 means nothing."""

    n_events: NDArray[np.int64]
    never_learned: NDArray[np.bool_]


def mean_loss(losses: ArrayLike) -> NDArray[np.float64]:
    """Mean loss over epochs; high for memorized examples, which are learned late.

    Parameters
    ----------
    losses : array-like of float, shape [E, N]
        Cross-entropy at the given label after each epoch, in nats, ≥ 0.

    Returns
    -------
    float64[N]

    Raises
    ------
    InputError
        If the table is not [E, N] or empty, or a value is not finite or negative.

    Examples
    --------
    >>> mean_loss([[2.0, 0.5], [1.0, 0.1]])
    array([1.5, 0.3])
    """
    table = _epochs("losses", losses)
    if table.min() < -_ROUNDING:
        raise InputError(f"losses go down to {table.min():.4g}: a loss cannot be negative, its sign may be turned")
    return table.mean(axis=0)


def confidence(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Mean probability of the given label over epochs; **low** for memorized examples.

    Parameters
    ----------
    probabilities : array-like of float, shape [E, N]
        In [0, 1].

    Returns
    -------
    float64[N]
        In [0, 1].

    Raises
    ------
    InputError
        If the table is not [E, N] or empty, or a value is NaN or lies outside [0, 1].

    References
    ----------
    Swayamdipta et al., "Dataset cartography", EMNLP 2020 (arXiv 2009.10795), section 2.

    Examples
    --------
    >>> confidence([[0.5, 0.9], [0.7, 1.0]])
    array([0.6 , 0.95])
    """
    return _unit_epochs("probabilities", probabilities).mean(axis=0)


def variability(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Standard deviation of the probability of the given label over epochs (divided by E, as in the paper).

    Parameters
    ----------
    probabilities : array-like of float, shape [E, N]
        In [0, 1]; at least two epochs.

    Returns
    -------
    float64[N]
        In [0, 0.5].

    Raises
    ------
    InputError
        As `confidence`; also with fewer than two epochs.

    References
    ----------
    Swayamdipta et al., "Dataset cartography", EMNLP 2020 (arXiv 2009.10795), section 2.

    Examples
    --------
    >>> variability([[0.0, 0.9], [1.0, 0.9]])
    array([0.5, 0. ])
    """
    table = _unit_epochs("probabilities", probabilities)
    if len(table) < 2:
        raise InputError("probabilities have 1 epoch: variability needs at least 2")
    return table.std(axis=0)


def forgetting_events(correct: ArrayLike) -> ForgettingEvents:
    """How often an example goes from classified correctly at one epoch to incorrectly at the next.

    Parameters
    ----------
    correct : array-like of bool (or 0/1), shape [E, N]
        Whether the example is classified correctly after each epoch.

    Returns
    -------
    ForgettingEvents
        ``n_events``, from 0 to E // 2, and ``never_learned``, True where no epoch is correct: its 0 events are not
        those of an example that was learned and kept. `forgetting_scores` puts both on one scale.

    Raises
    ------
    InputError
        If the table is not [E, N] or empty, or a value is neither 0 nor 1.

    References
    ----------
    Toneva et al., "An empirical study of example forgetting during deep neural network learning", ICLR 2019 (arXiv
    1812.05159), section 3; they look at an example whenever it is in a batch, once an epoch.

    Examples
    --------
    >>> events = forgetting_events([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    >>> events.n_events.tolist(), events.never_learned.tolist()
    ([1, 0, 0], [False, False, True])
    """
    table = _epochs("correct", correct)
    wrong = table[(table != 0) & (table != 1)]
    if wrong.size:
        raise InputError(f"correct holds {wrong[0]:g}: pass 1 where the example is classified correctly, 0 where not")
    right = table == 1
    forgotten = right[:-1] & ~right[1:]
    return ForgettingEvents(forgotten.sum(axis=0), ~right.any(axis=0))


def forgetting_scores(correct: ArrayLike) -> NDArray[np.float64]:
    """Forgetting events as one scale: a never-learned example counts E, more than any that was once learned.

    The paper gives it infinitely many, which no mean or correlation survives; the order is the same.

    Parameters
    ----------
    correct : array-like of bool (or 0/1), shape [E, N]

    Returns
    -------
    float64[N]
        From 0 to E // 2, or E.

    Raises
    ------
    InputError
        As `forgetting_events`.

    Examples
    --------
    >>> forgetting_scores([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    array([1., 0., 3.])
    """
    events = forgetting_events(correct)
    n_epochs = len(plain_array("correct", correct))
    return np.where(events.never_learned, float(n_epochs), events.n_events.astype(np.float64))


def mean_el2n(el2n: ArrayLike) -> NDArray[np.float64]:
    """Mean over epochs of the error's norm ‖p − y‖₂, between the predicted probabilities and the one-hot label.

    Parameters
    ----------
    el2n : array-like of float, shape [E, N]
        In [0, √2]. The paper averages over several runs, early in training: pass those rows.

    Returns
    -------
    float64[N]

    Raises
    ------
    InputError
        If the table is not [E, N] or empty, or a value is not finite or lies outside [0, √2].

    References
    ----------
    Paul, Ganguli and Dziugaite, "Deep learning on a data diet", NeurIPS 2021 (arXiv 2107.07075), definition 2.2.

    Examples
    --------
    >>> mean_el2n([[1.2, 0.2], [1.0, 0.0]])
    array([1.1, 0.1])
    """
    table = _epochs("el2n", el2n)
    if table.min() < -_ROUNDING or table.max() > _LARGEST_EL2N + _ROUNDING:
        raise InputError(
            f"el2n reaches from {table.min():.4g} to {table.max():.4g}: pass norms of p − y, which lie in [0, √2]"
        )
    return table.mean(axis=0)


def mean_curvature(curvature: ArrayLike) -> NDArray[np.float64]:
    """Mean over epochs of an input-loss curvature.

    Parameters
    ----------
    curvature : array-like of float, shape [E, N]
        As `hf_privacy.signals.input_curvature` gives it, **not its logarithm**: the mean of logarithms is another
        quantity, less ruled by the epochs of high curvature.

    Returns
    -------
    float64[N]

    Raises
    ------
    InputError
        If the table is not [E, N] or empty, or a value is not finite.

    References
    ----------
    Garg, Ravikumar and Roy, "Memorization through the lens of curvature of loss function around samples", ICML 2024
    (arXiv 2307.05831), and Ravikumar et al., "Unveiling privacy, memorization, and input curvature links", ICML 2024
    (arXiv 2402.18726): averaged over training it follows memorization more closely than at the end.

    Examples
    --------
    >>> mean_curvature([[4.0, 0.0], [2.0, 1.0]])
    array([3. , 0.5])
    """
    return _epochs("curvature", curvature).mean(axis=0)


def _epochs(name: str, values: ArrayLike) -> NDArray[np.float64]:
    table = real_array(name, values)
    if table.ndim != 2 or table.size == 0:
        raise InputError(f"{name} has shape {table.shape}: pass epochs × examples, at least one of each")
    return finite(name, table)


def _unit_epochs(name: str, values: ArrayLike) -> NDArray[np.float64]:
    table = _epochs(name, values)
    if table.min() < 0.0 or table.max() > 1.0:
        raise InputError(
            f"{name} reach from {table.min():.4g} to {table.max():.4g}: pass probabilities of the given label, "
            "in [0, 1]"
        )
    return table
