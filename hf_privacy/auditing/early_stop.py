"""As many references as tell something new, by a rule that is fixed before the first look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hf_privacy.auditing.scores import attack_scores
from hf_privacy.auditing.table import SignalTable
from hf_privacy.recipe import AuditSettings
from hf_privacy.references import ReferenceRun
from hf_privacy.statistics import summarize

FIRST_LOOK = 4


@dataclass(frozen=True)
class Stopped:
    """How many references there are after all.

    Attributes
    ----------
    n_references : int
    sentence : str
        What the report says of it.
    """

    n_references: int
    sentence: str


def looks_at(most: int) -> list[int]:
    """After how many references the interval is looked at: 4, 8, 16, …, and all of them.

    Examples
    --------
    >>> looks_at(24), looks_at(4), looks_at(2)
    ([4, 8, 16, 24], [4], [2])
    """
    looks, count = [], FIRST_LOOK
    while count < most:
        looks.append(count)
        count *= 2
    return [*looks, most]


def stop_when_still(
    table: SignalTable,
    run: ReferenceRun,
    train: Callable[[ReferenceRun], None],
    *,
    settings: AuditSettings,
    with_references: Callable[..., SignalTable],
) -> Stopped:
    """Train references in steps of `looks_at`, until the AUC's interval stands still.

    It does where both ends of the interval of online LiRA's AUC lie within ``settings.stop_when_still`` of where they
    lay at the look before. The attack, the looks and the distance are fixed beforehand; nothing else is looked at.

    Parameters
    ----------
    table : SignalTable
        The target's, without references.
    run : ReferenceRun
        Of the most there may be, in complementary halves.
    train : callable
        Fills the store of the run it is given.
    settings : AuditSettings
    with_references : callable
        ``with_references(table, run, queries=…)`` gives the table with what a run's store holds.
    """
    tolerance = settings.stop_when_still
    assert tolerance is not None
    most, before, moved = run.plan.n_models, None, None
    for count in looks_at(most):
        part = run.first(count)
        train(part)
        there = with_references(table, part, queries=settings.queries)
        (lira,) = attack_scores(there, ["lira"], lira_variance=settings.lira_variance)
        found = summarize(lira.scores, there.membership, confidence=settings.confidence, groups=there.groups)
        now = (found["auc_low"], found["auc_high"])
        if before is not None:
            moved = max(abs(now[0] - before[0]), abs(now[1] - before[1]))
            if moved <= tolerance and count < most:
                break
        before = now
    rule = (
        f"The number of reference models was left to a rule fixed beforehand: after {FIRST_LOOK}, "
        f"{2 * FIRST_LOOK}, … and at most {most} of them, stop where both ends of the interval of online LiRA's AUC "
        f"lie within {tolerance:g} of where they lay at the look before."
    )
    if count < most:
        outcome = f"It stopped at {count}, where they had moved by {moved:.2g}; more may still make attacks stronger."
    else:
        outcome = f"It went on to all {most}."
    return Stopped(count, f"{rule} {outcome}")
