"""From the table of signals to one score per example and attack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hf_privacy import attacks


@dataclass(frozen=True)
class AttackScores:
    """One attack's scores on the pool.

    Attributes
    ----------
    name : str
        Key in the report.
    title : str
        The attack in words, with its variant.
    scores : float64 array of shape [N]
        Higher means more likely a member.
    n_references : int
        Reference models it used.
    parameters : dict
        Settings, tuned ones included.
    """

    name: str
    title: str
    scores: np.ndarray
    n_references: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SignalTable:
    """The signals of one target and its reference models over the pool and the population.

    Columns are examples: the pool's N first, then the Z of the population. Where no population was set aside
    (Z = 0), the target's non-members take its place, each left out of its own comparison.

    Attributes
    ----------
    target : dict of str to float64 [Q, N + Z]
    membership : bool [N]
        The target's members in the pool.
    references : dict of str to float64 [Q, K, N + Z], optional
        Needs "phi" and "probability".
    reference_membership : bool [K, N + Z], optional
    """

    target: Mapping[str, np.ndarray]
    membership: np.ndarray
    references: Mapping[str, np.ndarray] | None = None
    reference_membership: np.ndarray | None = None

    @property
    def n_pool(self) -> int:
        """N."""
        return len(self.membership)

    @property
    def population(self) -> np.ndarray:
        """Columns that serve as population: the last Z, or the target's non-members."""
        n_columns = self.target["phi"].shape[-1]
        if n_columns > self.n_pool:
            return np.arange(self.n_pool, n_columns)
        return np.flatnonzero(~self.membership)

    def mean(self, name: str) -> np.ndarray:
        """A signal of the target averaged over the queries, [N + Z]."""
        return self.target[name].mean(axis=0)


def quick_scores(table: SignalTable, base: Mapping[str, np.ndarray] | None = None) -> list[AttackScores]:
    """The attacks that need no reference model: LOSS, modified entropy, Attack-P, base-checkpoint calibration.

    Parameters
    ----------
    table : SignalTable
    base : dict of str to float64 [Q, N + Z], optional
        Signals of the checkpoint the target was fine-tuned from, where that checkpoint has the same classes.
    """
    n = table.n_pool
    loss = table.mean("loss")
    results = [
        AttackScores("loss", "LOSS", attacks.loss(loss[:n])),
        AttackScores(
            "modified_entropy", "Modified entropy", attacks.modified_entropy(table.mean("modified_entropy")[:n])
        ),
        AttackScores("attack_p", "Attack-P", attacks.attack_p(loss[:n], loss[table.population])),
    ]
    if base is not None:
        scores = attacks.base_calibration(-loss[:n], -base["loss"].mean(axis=0)[:n])
        results.append(AttackScores("base_calibration", "LOSS calibrated by the base checkpoint", scores))
    return results


def reference_scores(table: SignalTable, *, lira_variance: str = "pooled", gamma: float = 1.0) -> list[AttackScores]:
    """The attacks with reference models: LiRA and RMIA, each online and offline.

    LiRA sums its log-likelihood ratio over the queries; RMIA uses the probability averaged over them. The offline
    RMIA's ``a`` is tuned by attacking reference models, never the target.
    """
    assert table.references is not None
    assert table.reference_membership is not None
    n, population = table.n_pool, table.population
    n_references = len(table.reference_membership)
    reference_membership = table.reference_membership[:, :n]
    results = []
    for mode, name in (("online", "lira"), ("offline", "lira_offline")):
        scores = attacks.lira(
            table.target["phi"][:, :n],
            table.references["phi"][:, :, :n],
            reference_membership,
            mode=mode,
            variance=lira_variance,
        )
        title = f"LiRA ({mode}, {lira_variance.replace('_', '-')} variance)"
        parameters = {"mode": mode, "variance": lira_variance}
        results.append(AttackScores(name, title, scores, n_references, parameters))

    probability = table.mean("probability")
    reference_probability = table.references["probability"].mean(axis=0)
    position = np.full(table.target["phi"].shape[-1], -1)
    position[population] = np.arange(len(population))
    common = {
        "population_membership": table.reference_membership[:, population],
        "population_index": position[:n],
    }
    a = attacks.tune_rmia_a(
        reference_probability[:, :n],
        reference_membership,
        reference_probability[:, population],
        gamma=gamma,
        **common,
    )
    for mode, name in (("online", "rmia"), ("offline", "rmia_offline")):
        scores = attacks.rmia(
            probability[:n],
            reference_probability[:, :n],
            reference_membership,
            probability[population],
            reference_probability[:, population],
            mode=mode,
            gamma=gamma,
            a=a if mode == "offline" else None,
            **common,
        )
        parameters = {"mode": mode, "gamma": gamma} | ({"a": a} if mode == "offline" else {})
        results.append(AttackScores(name, f"RMIA ({mode})", scores, n_references, parameters))
    return results
