"""The tables of one audit: the target's signals, and beside them those of its references."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from hf_privacy.adversarial import AdversarialInputs
from hf_privacy.auditing.examinations.robustness import AttackedModel, Outcomes
from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.targets import further_targets, leave_one_out_table
from hf_privacy.data import TensorDataset
from hf_privacy.recipe import AuditSettings, RobustnessSettings, auto_attack
from hf_privacy.references import ReferenceRun
from hf_privacy.signals import ADVERSARIAL_QUERY, adversarial_correct, compute_signals


def with_references(table: SignalTable, run: ReferenceRun, *, queries: Sequence[str]) -> SignalTable:
    """The table with what the store holds of the references, on the named queries alone.

    A store holds the adversarial query beside the clean ones; a table is of either.
    """
    return replace(
        table,
        references={name: np.stack([run.store.read(name, query=query) for query in queries]) for name in table.target},
        reference_membership=run.store.membership(),
    )


@dataclass
class RobustnessPass:
    """The target's and its references' part of the report on robustness, and what they took.

    Attributes
    ----------
    attack : AdversarialInputs
    evaluated : TensorDataset
        The pool, then the population.
    options : AuditSettings
        With ``robustness``.
    show_progress : bool
    seconds : float
        Counted up by each pass.
    """

    attack: AdversarialInputs
    evaluated: TensorDataset
    options: AuditSettings
    show_progress: bool
    seconds: float = 0.0

    def adversarial_table(self, model: torch.nn.Module, clean: SignalTable) -> SignalTable:
        """The target's signals on the examples attacked through itself."""
        started = time.perf_counter()
        target = compute_signals(
            model,
            self.evaluated,
            batch_size=self.options.batch_size,
            queries=(ADVERSARIAL_QUERY,),
            adversarial=self.attack,
            progress=self.show_progress,
        )
        self.seconds += time.perf_counter() - started
        return SignalTable(target=target, membership=clean.membership, labels=clean.labels)

    def attacked_models(
        self, model: torch.nn.Module, clean: SignalTable, adversarial: SignalTable, run: ReferenceRun | None
    ) -> list[AttackedModel]:
        """The target, and as many references as the settings have further targets, each attacked by the others.

        AutoAttack is made on the target and, where all their weights were kept, on the further targets.
        """
        models = [AttackedModel(clean, adversarial, self._autoattack(model, clean.membership))]
        if run is None or self.options.targets < 2:
            return models
        numbers = further_targets(clean.n_references, self.options.targets - 1)
        device = next(model.parameters()).device
        for number in numbers:
            other = leave_one_out_table(clean, number)
            kept = run.kept_model(number) if models[0].autoattack is not None else None
            found = None if kept is None else self._autoattack(kept.to(device), other.membership)
            models.append(AttackedModel(other, leave_one_out_table(adversarial, number), found))
        return models

    def _autoattack(self, model: torch.nn.Module, membership: np.ndarray) -> Outcomes | None:
        settings = RobustnessSettings.from_dict(self.options.robustness or {})
        attack = auto_attack(settings, self.attack.space)
        if attack is None:
            return None
        started = time.perf_counter()
        positions = spread(np.flatnonzero(~membership), settings.max_examples)
        correct = adversarial_correct(
            model,
            self.evaluated.subset(positions),
            attack=attack,
            batch_size=self.options.batch_size,
            progress=self.show_progress,
        )
        self.seconds += time.perf_counter() - started
        return Outcomes(positions, correct)


def spread(positions: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the positions, evenly spaced: of rows sorted by class the first are of one class.

    Examples
    --------
    >>> spread(np.arange(10), 5)
    array([0, 2, 4, 6, 8])
    """
    if len(positions) <= most:
        return positions
    return positions[np.arange(most) * len(positions) // most]
