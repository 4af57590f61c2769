"""Every lower bound of ε side by side, each under its own assumption."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from hf_privacy.statistics.epsilon import epsilon_clopper_pearson
from hf_privacy.statistics.gdp import epsilon_gdp
from hf_privacy.statistics.one_run import epsilon_one_run
from hf_privacy.statistics.one_run_fdp import epsilon_one_run_fdp


def epsilon_lower_bounds(
    scores: ArrayLike,
    membership: ArrayLike,
    *,
    delta: float,
    confidence: float = 0.95,
    correction: str = "split",
    n_guesses: int | Sequence[int] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Lower bounds of ε at one δ.

    Each holds at the stated confidence by itself. The largest of them does not: name the one that will be believed
    before looking.

    Parameters
    ----------
    scores : array-like of float, shape [N]
        Higher means more likely a member.
    membership : array-like of bool, shape [N]
    delta : float
        In (0, 1).
    confidence : float, default 0.95
    correction : {"split", "bonferroni"}, default "split"
        Of the first two.
    n_guesses : int or sequence of int, optional
        Adds the one-run bounds. Only for canaries put in or left out by independent fair coins.
    seed : int, default 0

    Returns
    -------
    dict of float
        ``clopper_pearson``, ``gdp``; with n_guesses also ``one_run``, ``one_run_fdp``.

    Raises
    ------
    InputError
        See `epsilon_clopper_pearson`, `epsilon_gdp`, `epsilon_one_run` and `epsilon_one_run_fdp`.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> membership = generator.random(4000) < 0.5
    >>> scores = generator.normal(size=4000) + 2 * membership  # μ = 2, ε(1e-5) = 10.0
    >>> bounds = epsilon_lower_bounds(scores, membership, delta=1e-5, n_guesses=200)
    >>> {name: round(bound, 1) for name, bound in bounds.items()}
    {'clopper_pearson': 3.1, 'gdp': 8.5, 'one_run': 4.1, 'one_run_fdp': 6.1}
    """
    bounds = {
        "clopper_pearson": epsilon_clopper_pearson(
            scores, membership, delta=delta, confidence=confidence, correction=correction, seed=seed
        ),
        "gdp": epsilon_gdp(scores, membership, delta=delta, confidence=confidence, correction=correction, seed=seed),
    }
    if n_guesses is not None:
        bounds["one_run"] = epsilon_one_run(
            scores, membership, n_guesses=n_guesses, delta=delta, confidence=confidence, seed=seed
        )
        bounds["one_run_fdp"] = epsilon_one_run_fdp(
            scores, membership, n_guesses=n_guesses, delta=delta, confidence=confidence, seed=seed
        )
    return bounds
