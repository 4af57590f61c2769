"""The table of signals every attack reads: one target, its references, the pool and the population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


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
    (Z = 0), the target's non-members take its place, for members and non-members alike: were a non-member left out of
    its own comparison, that alone would tell it from a member.

    Attributes
    ----------
    target : dict of str to float64 [Q, N + Z]
        Of clean queries only, or of the adversarial one alone: an average over queries never mixes the two.
    membership : bool [N]
        The target's members in the pool.
    labels : int [N + Z], optional
        Classes, for thresholds and slices per class.
    references : dict of str to float64 [Q, K, N + Z], optional
        Every signal of ``target``, on the same queries.
    reference_membership : bool [K, N + Z], optional
    extras : dict of str to array, optional
        What further passes over the target gave, see `hf_privacy.auditing.extras`.
    """

    target: Mapping[str, np.ndarray]
    membership: np.ndarray
    labels: np.ndarray | None = None
    references: Mapping[str, np.ndarray] | None = None
    reference_membership: np.ndarray | None = None
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def n_pool(self) -> int:
        """N."""
        return len(self.membership)

    @property
    def n_references(self) -> int:
        """K, 0 without reference models."""
        return 0 if self.reference_membership is None else len(self.reference_membership)

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

    def reference_mean(self, name: str) -> np.ndarray:
        """A signal of the references averaged over the queries, [K, N + Z]."""
        assert self.references is not None
        return self.references[name].mean(axis=0)

    def with_references(self, kept: np.ndarray | slice) -> SignalTable:
        """The same target with some of its references."""
        assert self.references is not None
        assert self.reference_membership is not None
        return SignalTable(
            target=self.target,
            membership=self.membership,
            labels=self.labels,
            references={name: values[:, kept] for name, values in self.references.items()},
            reference_membership=self.reference_membership[kept],
            extras=self.extras,
        )
