"""Who was in the training set: what every attack finds, on several targets, at several budgets and in each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_privacy.attack_table import EXTRA_ATTACKS
from hf_privacy.auditing.attack import all_scores
from hf_privacy.auditing.examinations.membership.budgets import over_budgets
from hf_privacy.auditing.extras import check_calibration
from hf_privacy.auditing.groups import class_slices
from hf_privacy.auditing.table import SIDES, AttackScores, SignalTable
from hf_privacy.auditing.targets import further_targets, leave_one_out_table, mean_figures, mean_interval
from hf_privacy.auditing.vulnerability import save_vulnerability
from hf_privacy.errors import InputError
from hf_privacy.outside import is_outside
from hf_privacy.reports import curve_of
from hf_privacy.tasks import Task

if TYPE_CHECKING:
    from hf_privacy.auditing.case import AuditCase


class Membership:
    """The examination that every report has."""

    name = "membership"

    def check(self, case: AuditCase) -> None:
        """Refuse references that cannot be made, and attacks that the model or the population is not made for."""
        asked = [name for name in EXTRA_ATTACKS if name in case.settings.extra_attacks]
        if asked and not case.task.has_classes:
            raise InputError(
                f"extra_attacks hold {', '.join(asked)}, which attack classifiers, and the model is for "
                f"{case.task.name}: leave them out, all attacks on its tokens are made anyway"
            )
        if "quantile_regression" in case.settings.extra_attacks:
            check_calibration(len(case.split.population), len(case.split.non_members))
        sizes = case.split.n_groups or {"members": len(case.split.members), "non_members": len(case.split.non_members)}
        for side in ("members", "non_members"):
            if sizes[side] < 2 and not case.task.has_classes:
                raise InputError(
                    f"the split has {sizes[side]} {case.split.unit or 'row'} among its {side.replace('_', '-')}: "
                    "perplexity and its interval need at least 2 a side"
                )
        _ = case.references

    def run(self, case: AuditCase) -> dict[str, Any]:
        """The report's ``attacks``, ``evidence``, ``curves``, ``targets``, ``budgets`` and ``class_slices``.

        How exposed each example is goes to the run's private folder.
        """
        table, found, settings = case.table, case.findings, case.settings
        figures = {"fprs": tuple(settings.fprs), "confidence": settings.confidence}
        targets = budgets = slices = None
        with case.timed("attacks"):
            if settings.targets > 1:
                others = [
                    leave_one_out_table(table, model, extras=case.extras_of(model))
                    for model in further_targets(table.n_references, settings.targets - 1)
                ]
                runs = [(table, found.scores)] + [(other, all_scores(other, settings)) for other in others]
                targets = over_targets(runs, task=case.task, both_sides=case.both_sides, **figures)
                if settings.budgets:
                    own = list(filter(is_outside, settings.extra_attacks))
                    budgets = over_budgets(
                        [table, *others], settings.budgets, gamma=settings.gamma, own=own, **figures
                    )
            if settings.class_slices and table.labels is not None:
                slices = class_slices(table, found.strongest, case.classes, confidence=settings.confidence)
        save_vulnerability(case.output_dir / "private", case.split, found)
        return {
            "attacks": found.attacks,
            "evidence": found.evidence,
            "curves": {attack.name: curve_of(attack.scores, table.membership) for attack in found.scores},
            "targets": targets,
            "budgets": budgets,
            "class_slices": slices,
        }


def over_targets(
    runs: Sequence[tuple[SignalTable, list[AttackScores]]],
    *,
    task: Task,
    fprs: tuple[float, ...],
    confidence: float,
    both_sides: bool = False,
) -> dict[str, Any]:
    """Mean and interval, over several attacked models of one recipe, of each figure.

    Parameters
    ----------
    runs : sequence of (SignalTable, list of AttackScores)
        The target's first, then those of `leave_one_out_table`; at least 2. Attacks that not every run has (base
        calibration has no base for a reference) are left out.
    task : Task
        Says what a model is worth.
    fprs, confidence
        As in `hf_privacy.statistics.summarize`; the interval over targets is Student's t.
    both_sides : bool
        Whether attacks are read from both sides of their scores too.

    Returns
    -------
    dict
        The "targets" section of the report. Targets share their pool, and each other's signals as references, so the
        interval speaks of training runs on this pool, not of other data.
    """
    worth: dict[str, list[float]] = {}
    for table, _ in runs:
        for name, members in SIDES.items():
            for what, value in task.utility(table.of_side(members)).items():
                worth.setdefault(f"{name}_{what}", []).append(value)
    return {
        "n_targets": len(runs),
        "confidence": confidence,
        "attacks": mean_figures(runs, fprs=fprs, confidence=confidence, both_sides=both_sides),
        **{
            name: mean_interval(values, within=task.utility_range[name.partition("_")[2]], confidence=confidence)
            for name, values in worth.items()
        },
    }
