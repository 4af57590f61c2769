"""What a reader must know of how the figures were made: package versions, and what the settings leave unsaid."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from hf_privacy import __version__
from hf_privacy.reports.leaks import public_name
from hf_privacy.statistics.tpr import allowed_false_positives

if TYPE_CHECKING:
    from hf_privacy.data import MembershipSplit
    from hf_privacy.recipe import AuditSettings

VERSIONED_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "peft", "timm", "numpy", "scipy")
# With fewer on a side, an interval rests on hardly any groups.
_FEW_GROUPS = 20


def versions(packages: Sequence[str] = VERSIONED_PACKAGES) -> dict[str, str]:
    """Versions of this package, Python and the packages the figures rest on.

    Examples
    --------
    >>> list(versions(["numpy"]))
    ['hf_privacy', 'python', 'numpy']
    """
    found = {"hf_privacy": __version__, "python": platform.python_version()}
    return found | {name: version(name) for name in packages}


def caveats_of(
    settings: AuditSettings,
    split: MembershipSplit,
    *,
    repeats: tuple[int | None, int | None] = (None, None),
    guarantee: Mapping[str, Any] | None = None,
) -> list[str]:
    """What depth, references, population, groups and repeats leave unsaid.

    Parameters
    ----------
    settings : AuditSettings
        As the audit was made.
    split : MembershipSplit
    repeats : (int or None, int or None)
        Exact and near-exact repeats across the split; None where they were not looked for.
    guarantee : mapping, optional
        The bound of ε that training states.
    """
    caveats = []
    if settings.depth == "quick":
        caveats.append(
            "Quick audit: no reference models. Attacks with references (LiRA, RMIA) usually find more; read these "
            "figures as a floor."
        )
    elif settings.references < 16:
        caveats.append(
            f"Only {settings.references} reference models: more of them make LiRA and RMIA stronger, most of all at "
            "low false positive rates."
        )
    if not len(split.population):
        caveats.append(
            "No population was set aside: Attack-P and RMIA compare members and non-members alike with the target's "
            "non-members."
        )
    unresolved = [fpr for fpr in settings.fprs if allowed_false_positives(len(split.non_members), fpr) < 0]
    if unresolved:
        shown = ", ".join(f"{100 * fpr:g} %" for fpr in unresolved)
        caveats.append(
            f"{len(split.non_members):,} non-members cannot resolve a false positive rate of {shown}; no "
            "true positive rate is given there."
        )
    if split.n_groups is not None:
        few = min(split.n_groups["members"], split.n_groups["non_members"])
        if few < _FEW_GROUPS:
            caveats.append(
                f"A side of the split holds {few} groups by {public_name(split.unit)!r}: intervals by group are wide "
                "and the test can show little, whatever the number of rows."
            )
        if guarantee is not None and guarantee.get("unit", "row") == "row":
            caveats.append(
                f"ε is of one row, and the split and its intervals go by {public_name(split.unit)!r}: what all rows "
                "of one tell together is bounded by no ε stated here."
            )
    exact, near = repeats
    if exact is None:
        caveats.append("Repeats across the split were not looked for.")
    elif exact or near:
        shown = f"{exact:,} exact" + (f" and {near:,} near-exact" if near is not None else "")
        caveats.append(
            f"{shown} repeats of members are among the non-members: they look like members, which biases the figures."
        )
    if settings.depth == "full":
        share = len(split.members) / len(split.pool)
        if abs(share - settings.fraction) > 0.05:
            caveats.append(
                f"The target was trained on {share:.0%} of the pool and the references on {settings.fraction:.0%}: "
                "attacks calibrated on them may be weaker than they could be."
            )
    return caveats
