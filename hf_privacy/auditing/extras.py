"""Attacks that ask the target more than one table of signals holds: features, augmented queries, distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_privacy import attacks
from hf_privacy.auditing.table import SignalTable
from hf_privacy.errors import InputError

if TYPE_CHECKING:
    import torch

    from hf_privacy.data import TensorDataset

# Non-members that a quantile regression needs.
_FEWEST_CALIBRATION = 20
# Cross-fitting where no population was set aside to fit the quantiles on.
_FOLDS = 5


def extra_signals(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    attacks: Sequence[str],
    batch_size: int = 256,
    progress: bool = False,
) -> dict[str, np.ndarray]:
    """What the named extra attacks need of a model, by further passes over the dataset.

    Parameters
    ----------
    model : torch.nn.Module
    dataset : TensorDataset
        The pool, then the population.
    attacks : sequence of str
        Of `hf_privacy.attack_table.EXTRA_ATTACKS`; an attack of one's own asks for nothing more.
    batch_size : int
    progress : bool

    Returns
    -------
    dict of str to array
        "features" [N + Z, D] for the quantile regression, "augmented_correct" [Q, N + Z] and "boundary_distance"
        [N + Z] for the label-only attacks; only what is asked for.
    """
    from hf_privacy.signals import boundary_distance, compute_features, label_only_correct

    settings = {"batch_size": batch_size, "progress": progress}
    signals = {}
    if "quantile_regression" in attacks:
        signals["features"] = compute_features(model, dataset, **settings)
    if "label_only" in attacks:
        signals["augmented_correct"] = label_only_correct(model, dataset, **settings)
    if "boundary_distance" in attacks:
        # HopSkipJump would ask the model tens of thousands of times for each example.
        signals["boundary_distance"] = boundary_distance(model, dataset, method="deepfool", **settings)
    return signals


def check_calibration(n_population: int, n_nonmembers: int) -> None:
    """Refuse a quantile regression before anything is trained, where it has too few examples to be fitted on.

    Raises
    ------
    InputError

    Examples
    --------
    >>> check_calibration(0, 24)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: extra_attacks hold quantile_regression, there is no population and ...
    """
    if n_population and n_population < _FEWEST_CALIBRATION:
        raise InputError(
            f"extra_attacks hold quantile_regression and the population has {n_population} examples: it is fitted on "
            f"them; set aside at least {_FEWEST_CALIBRATION}, or none, to fit it on non-members"
        )
    needed = _FEWEST_CALIBRATION * _FOLDS // (_FOLDS - 1)
    if not n_population and n_nonmembers < needed:
        raise InputError(
            f"extra_attacks hold quantile_regression, there is no population and {n_nonmembers} non-members are too "
            f"few to fit it on: pass at least {needed}, set a population aside, or leave it out"
        )


def n_to_fit_quantiles_on(table: SignalTable, seed: int) -> int:
    """How many non-members every fit of `quantile_regression` has at least; 0 where they are too few for one."""
    if table.has_population:
        fewest = len(table.population)
    else:
        fold = _folds(table, seed)
        fewest = min(int((~table.membership & (fold != number)).sum()) for number in np.unique(fold))
    return fewest if fewest >= _FEWEST_CALIBRATION else 0


def quantile_regression(
    table: SignalTable, signal: np.ndarray, features: np.ndarray, **settings: Any
) -> tuple[np.ndarray, int]:
    """Scores, and the number of folds: quantiles are fitted on the population; without one, on the other folds'.

    Parameters
    ----------
    table : SignalTable
    signal : float64 array of shape [N + Z]
        Higher for likelier members.
    features : array of shape [N + Z, D]
    **settings
        Of `hf_privacy.attacks.quantile_regression`; ``seed`` is that of the folds too.
    """
    n = table.n_pool
    if table.has_population:
        return attacks.quantile_regression(signal[:n], features[:n], signal[n:], features[n:], **settings), 0
    fold, scores = _folds(table, settings["seed"]), np.empty(n)
    for number in np.unique(fold):
        scored, fitted = fold == number, (fold != number) & ~table.membership
        scores[scored] = attacks.quantile_regression(
            signal[scored], features[scored], signal[fitted], features[fitted], **settings
        )
    return scores, _FOLDS


def _folds(table: SignalTable, seed: int) -> np.ndarray:
    """Which fold an example is scored in, by a fit that has not seen it: int [N].

    Members and non-members are in equal shares in every fold, so that each is scored by fits on as many non-members as
    the other. A group is in one fold: its non-members would have their like among those fitted on, which its members
    never have.
    """
    generator = np.random.default_rng(seed)
    groups = np.arange(table.n_pool) if table.groups is None else table.groups
    fold = np.empty(table.n_pool, dtype=int)
    for side in (table.membership, ~table.membership):
        of_side, unit = np.unique(groups[side], return_inverse=True)
        fold[side] = (generator.permutation(len(of_side)) % _FOLDS)[unit]
    return fold
