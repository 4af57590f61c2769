"""The table of signals every attack reads: one target, its references, the pool and the population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hf_privacy.auditing.tokens import TokenTable
from hf_privacy.errors import InputError

SIDES = {"member": True, "nonmember": False}  # as names in report and training record begin


@dataclass(frozen=True)
class AttackScores:
    """One attack's scores on the pool.

    Attributes
    ----------
    name : str
        Key in the report: of `hf_privacy.attack_table.ATTACKS`, or ``module:name`` of one's own.
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
    base : dict of str to float64 [Q, N + Z], optional
        Signals of the checkpoint the target was fine-tuned from, where that has the same classes.
    extras : dict of str to array, optional
        What further passes over the target gave, see `hf_privacy.auditing.extras`.
    tokens : TokenTable, optional
        Of language models: what is said of each scored token.
    groups : int64 [N], optional
        Whose rows those of the pool are, where the unit of membership is a group.

    Notes
    -----
    An attack of one's own is a function of this table that gives float64 [N], higher for likelier members, and does
    not look at ``membership``. ``extra_attacks`` names it by ``module:name``; then it has its row wherever ours have.
    Two attributes are read where they are there: ``title``, its words in the report, and ``needs_references``, True
    where it reads the reference models. The signals are "phi" (log odds of the true class), "loss" [nats],
    "probability" (of the true class), "margin", "entropy" and "modified_entropy" [nats], and "correct" (0 or 1); of a
    language model those of `hf_privacy.tasks.token_values.example_values`, and ``tokens``.

    Examples
    --------
    How much better the target knows an example than the average reference does:

    >>> def gain(table):
    ...     return table.reference_pool("loss").mean(axis=0) - table.pool("loss")
    >>> gain.title, gain.needs_references = "Gain over the references", True
    >>> table = SignalTable(target={"phi": np.zeros((1, 2)), "loss": np.array([[0.5, 2.0]])},
    ...                     membership=np.array([True, False]),
    ...                     references={"loss": np.array([[[1.0, 2.0], [2.0, 1.0]]])},
    ...                     reference_membership=np.array([[True, False], [False, True]]))
    >>> gain(table)
    array([ 1. , -0.5])
    """

    target: Mapping[str, np.ndarray]
    membership: np.ndarray
    labels: np.ndarray | None = None
    references: Mapping[str, np.ndarray] | None = None
    reference_membership: np.ndarray | None = None
    base: Mapping[str, np.ndarray] | None = None
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)
    tokens: TokenTable | None = None
    groups: np.ndarray | None = None

    def has(self, need: str) -> bool:
        """Whether what an attack needs is there, by the words of `hf_privacy.attack_table.Attack`."""
        there = {
            "references": self.n_references > 0,
            "in_references": self.n_references > 0 and bool(self.reference_pool_membership.any(axis=0).all()),
            "reference_signals": self.references is not None and set(self.target) <= set(self.references),
            "labels": self.labels is not None,
            "base": self.base is not None,
            "tokens": self.tokens is not None,
            "texts": self.tokens is not None and self.tokens.texts is not None,
        }
        return there.get(need, need in self.target or need in self.extras)

    @property
    def n_pool(self) -> int:
        """N."""
        return len(self.membership)

    @property
    def n_references(self) -> int:
        """K, 0 without reference models."""
        return 0 if self.reference_membership is None else len(self.reference_membership)

    @property
    def has_population(self) -> bool:
        """Whether one was set aside: Z > 0."""
        return self.target["phi"].shape[-1] > self.n_pool

    @property
    def population(self) -> np.ndarray:
        """Columns that serve as population: the last Z, or the target's non-members."""
        if self.has_population:
            return np.arange(self.n_pool, self.target["phi"].shape[-1])
        return np.flatnonzero(~self.membership)

    @property
    def in_references(self) -> np.ndarray:
        """Which reference was trained on which example, bool [K, N + Z]."""
        return _there(self.reference_membership)

    @property
    def reference_pool_membership(self) -> np.ndarray:
        """The same on the pool, bool [K, N]."""
        return self.in_references[:, : self.n_pool]

    def mean(self, name: str) -> np.ndarray:
        """A signal of the target averaged over the queries, [N + Z]."""
        return self.target[name].mean(axis=0)

    def pool(self, name: str) -> np.ndarray:
        """The same on the pool, [N]."""
        return self.mean(name)[: self.n_pool]

    def of_side(self, members: bool) -> dict[str, np.ndarray]:
        """Every signal of the target on its members, or on its non-members, as they are: on the first query."""
        side = self.membership == members
        return {name: values[0][: self.n_pool][side] for name, values in self.target.items()}

    def reference_mean(self, name: str) -> np.ndarray:
        """A signal of the references averaged over the queries, [K, N + Z]."""
        return _there(self.references)[name].mean(axis=0)

    def reference_pool(self, name: str) -> np.ndarray:
        """The same on the pool, [K, N]."""
        return self.reference_mean(name)[:, : self.n_pool]

    def queries(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A signal on the pool, query by query: the target's [Q, N] and the references' [Q, K, N]."""
        return self.target[name][:, : self.n_pool], _there(self.references)[name][:, :, : self.n_pool]

    def with_references(self, kept: np.ndarray | slice) -> SignalTable:
        """The same target with some of its references."""
        return replace(
            self,
            references={name: values[:, kept] for name, values in _there(self.references).items()},
            reference_membership=self.in_references[kept],
            tokens=None if self.tokens is None else self.tokens.with_references(kept),
        )


def _there(part: Any) -> Any:
    if part is None:
        raise InputError("this table has no reference models: set needs_references on an attack that reads them")
    return part
