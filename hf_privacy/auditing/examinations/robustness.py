"""The report's section on robustness: accuracy under attack beside what membership attacks find there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hf_privacy.adversarial import AdversarialInputs
from hf_privacy.auditing.groups import BIN_BOUNDS, FEWEST, memorization_of, spread
from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.targets import further_targets, leave_one_out_table, mean_interval
from hf_privacy.memorization import memorization_bin
from hf_privacy.recipe import AuditSettings, RobustnessSettings, auto_attack
from hf_privacy.signals import adversarial_correct
from hf_privacy.statistics import clopper_pearson

if TYPE_CHECKING:
    from hf_privacy.auditing.case import AuditCase


class Robustness:
    """The examination of the target, and of further targets, each attacked through itself."""

    name = "robustness"

    def check(self, case: AuditCase) -> None:
        """Refuse an attack that cannot be made on these inputs."""
        _ = case.attack

    def run(self, case: AuditCase) -> dict[str, Any] | None:
        """The report's ``robustness``."""
        if case.attack is None:
            return None
        models = attacked_models(case)
        section = robustness_section(
            models,
            attack=case.attack,
            options=case.settings,
            seconds=case.seconds["adversarial"],
            membership_attacks=case.findings.adversarial,
        )
        return {"robustness": section}


@dataclass(frozen=True)
class Outcomes:
    """On which examples one model is right, under one attack or none.

    Attributes
    ----------
    positions : int array of shape [M]
        Columns of the pool that were tried.
    correct : bool array of shape [M]
    """

    positions: np.ndarray
    correct: np.ndarray


@dataclass(frozen=True)
class AttackedModel:
    """One model as its owner and as its attacker see it.

    Attributes
    ----------
    clean : SignalTable
        Of the clean queries.
    adversarial : SignalTable
        Of the query "adversarial" alone: every model attacked through itself, with the same references.
    autoattack : Outcomes, optional
        On some of the model's non-members.
    """

    clean: SignalTable
    adversarial: SignalTable
    autoattack: Outcomes | None = None

    def outcomes(self) -> dict[tuple[str, str], Outcomes]:
        """By name ("clean", "pgd", "autoattack") and set ("members", "nonmembers").

        An example is its own first adversarial input: what is wrong before the attack counts as wrong under it.
        """
        membership = self.clean.membership
        found = {}
        clean, attacked = (table.target["correct"][0][: table.n_pool] == 1 for table in (self.clean, self.adversarial))
        for name, correct in (("clean", clean), ("pgd", clean & attacked)):
            for group, inside in (("members", membership), ("nonmembers", ~membership)):
                positions = np.flatnonzero(inside)
                found[name, group] = Outcomes(positions, correct[positions])
        if self.autoattack is not None:
            found["autoattack", "nonmembers"] = self.autoattack
        return found


def attacked_models(case: AuditCase) -> list[AttackedModel]:
    """The target, and as many references as the settings have further targets, each attacked by the others.

    AutoAttack is made on the target and, where all their weights were kept, on the further targets.
    """
    clean, adversarial, run = case.table, case.adversarial_table, case.references
    assert adversarial is not None
    models = [AttackedModel(clean, adversarial, _autoattack(case, case.model, clean.membership))]
    if run is None or case.settings.targets < 2:
        return models
    device = next(case.model.parameters()).device
    for number in further_targets(clean.n_references, case.settings.targets - 1):
        other = leave_one_out_table(clean, number)
        kept = run.kept_model(number) if models[0].autoattack is not None else None
        found = None if kept is None else _autoattack(case, kept.to(device), other.membership)
        models.append(AttackedModel(other, leave_one_out_table(adversarial, number), found))
    return models


def _autoattack(case: AuditCase, model: torch.nn.Module, membership: np.ndarray) -> Outcomes | None:
    assert case.attack is not None
    settings = RobustnessSettings.from_dict(case.settings.robustness or {})
    attack = auto_attack(settings, case.attack.space)
    if attack is None:
        return None
    positions = spread(np.flatnonzero(~membership), settings.max_examples)
    with case.timed("adversarial"):
        correct = adversarial_correct(
            model,
            case.evaluated.subset(positions),
            attack=attack,
            batch_size=case.settings.batch_size,
            progress=case.show_progress,
        )
    return Outcomes(positions, correct)


def robustness_section(
    models: Sequence[AttackedModel],
    *,
    attack: AdversarialInputs,
    options: AuditSettings,
    seconds: float,
    membership_attacks: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Put the section together.

    Parameters
    ----------
    models : sequence of AttackedModel
        The target first, then further targets, if any, each with the references it is attacked with.
    attack : AdversarialInputs
        That of the adversarial query.
    options : AuditSettings
        With ``robustness``.
    seconds : float
        What attacking the target took, and AutoAttack on further targets; that of PGD on the references is part of
        what their signals took.
    membership_attacks : list of dict, optional
        Summaries of those on adversarial inputs.

    Returns
    -------
    dict
        The report's ``robustness``: aggregates only, and bins of memorization with at least 20 examples a set.
    """
    target = models[0]
    outcomes = target.outcomes()
    return {
        "norm": attack.attack.norm,
        "epsilon": attack.attack.epsilon,
        "n_steps": attack.attack.n_steps,
        "step_size": attack.attack.step,
        "space": attack.space.name,
        "accuracies": [
            {
                "name": name,
                "title": {"clean": "Clean", "pgd": f"PGD-{attack.attack.n_steps}", "autoattack": "AutoAttack"}[name],
                "set": group,
                **_rate(tried.correct, options.confidence),
            }
            for (name, group), tried in outcomes.items()
        ],
        "targets": _over_targets(models, options.confidence) if len(models) > 1 else None,
        "membership_attacks": membership_attacks,
        "memorization_bins": _bins(target, options.confidence) if target.clean.n_references else None,
        "seconds": seconds,
    }


def _over_targets(models: Sequence[AttackedModel], confidence: float) -> dict[str, Any]:
    """Means over the models of what was measured on each of them."""
    found = [model.outcomes() for model in models]
    return {
        "n_targets": len(models),
        "accuracies": [
            {
                "name": name,
                "set": group,
                **mean_interval([float(of[name, group].correct.mean()) for of in found], confidence=confidence),
            }
            for name, group in found[0]
            if all((name, group) in of for of in found)
        ],
    }


def _bins(target: AttackedModel, confidence: float) -> list[dict[str, Any]]:
    bins = memorization_bin(memorization_of(target.clean))
    entries = []
    for number in np.unique(bins):
        for (name, group), tried in target.outcomes().items():
            correct = tried.correct[bins[tried.positions] == number]
            if len(correct) >= FEWEST:
                entries.append(
                    {
                        "memorization_from": BIN_BOUNDS[number],
                        "memorization_to": BIN_BOUNDS[number + 1],
                        "name": name,
                        "set": group,
                        **_rate(correct, confidence),
                    }
                )
    return entries


def _rate(correct: np.ndarray, confidence: float) -> dict[str, Any]:
    n_correct, n_examples = int(correct.sum()), len(correct)
    low, high = clopper_pearson(n_correct, n_examples, confidence=confidence)
    return {"value": n_correct / n_examples, "low": low, "high": high, "n_examples": n_examples}
