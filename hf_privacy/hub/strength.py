"""How much an audit looked for, so that a weaker one does not take a stronger one's place unseen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hf_privacy.errors import InputError
from hf_privacy.gate_fields import DEPTHS
from hf_privacy.hub.schema import load_report_dict
from hf_privacy.outside import is_outside

# Sections that only more work gives a report.
_SECTIONS = ("targets", "robustness", "canaries", "unlearning", "extraction")


class Strength(NamedTuple):
    """What an audit looked for.

    Attributes
    ----------
    depth
        "quick" or "full".
    references
        Number of reference models.
    confidence
        Of the intervals, in (0, 1): the lowest of any attack.
    fprs
        False-positive rates at which the report says a TPR.
    attacks
        Names of the attacks.
    sections
        Which of the optional sections there are: targets, robustness, canaries, unlearning, extraction, and those of a
        user's own examinations by their names.
    """

    depth: str
    references: int
    confidence: float
    fprs: frozenset[float]
    attacks: frozenset[str]
    sections: frozenset[str]

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Strength:
        """The strength of a valid report.

        Examples
        --------
        >>> attack = {"name": "loss", "confidence": 0.95, "tpr_at_fpr": [{"fpr": 0.1, "tpr": 0.2}]}
        >>> Strength.of({"depth": "quick", "references": None, "attacks": [attack]}).references
        0
        """
        attacks = report["attacks"]
        references = report["references"]
        return cls(
            depth=report["depth"],
            references=0 if references is None else references["n_models"],
            confidence=min(attack["confidence"] for attack in attacks),
            fprs=frozenset(entry["fpr"] for attack in attacks for entry in attack["tpr_at_fpr"]),
            attacks=frozenset(attack["name"] for attack in attacks),
            sections=frozenset(
                {name for name in _SECTIONS if report.get(name) is not None} | {*(report.get("outside") or ())}
            ),
        )

    def lacks(self, other: Strength) -> list[str]:
        """What `other` has and this lacks, in words; empty when this is at least as strong in every way."""
        lost = []
        if DEPTHS.index(self.depth) < DEPTHS.index(other.depth):
            lost.append(f"depth {self.depth} and not {other.depth}")
        if self.references < other.references:
            lost.append(f"{self.references} reference models and not {other.references}")
        if self.confidence < other.confidence:
            lost.append(f"confidence {self.confidence:g} and not {other.confidence:g}")
        for what, ours, theirs in (
            ("TPR at FPR", self.fprs, other.fprs),
            ("attack", self.attacks, other.attacks),
            ("section", self.sections, other.sections),
        ):
            gone = [f"{name:g}" if isinstance(name, float) else str(name) for name in sorted(theirs - ours)]
            if gone:
                lost.append(f"no {what} {', '.join(gone)}")
        return lost


def _strength_there(folder: str | Path, weights: str) -> Strength | None:
    """The strength of the report in a folder, when it is a valid one for these weights; None otherwise.

    Parameters
    ----------
    folder
        That may hold ``privacy_report.json``.
    weights
        SHA-256 of the weights whose report is about to be written; a report for others speaks of another model.
    """
    try:
        report = load_report_dict(folder)
    except InputError:
        return None
    return Strength.of(report) if report["model"]["weights_sha256"] == weights else None


def refuse_weaker(
    folder: str | Path, weights: str | None, strength: Strength, *, attacks: Iterable[str] | None = None
) -> None:
    """Refuse to put a report of this strength where a stronger one for the same weights is.

    Parameters
    ----------
    folder
        Where the report would go.
    weights
        SHA-256 of the weights it speaks of; of none known, nothing is compared.
    strength
        Of the new report.
    attacks
        The attacks to compare beside the user's own, where `strength` does not name all that will be made; by default
        all.

    Raises
    ------
    InputError
        Says in what the new report would be weaker.
    """
    there = None if weights is None else _strength_there(folder, weights)
    if there is not None and attacks is not None:
        asked_for = {name for name in there.attacks if name in set(attacks) or is_outside(name)}
        there = there._replace(attacks=frozenset(asked_for))
    lost = [] if there is None else strength.lacks(there)
    if lost:
        raise InputError(
            f"the folder {Path(folder).name} holds a deeper privacy report of the same weights, and this one has "
            f"{'; '.join(lost)}: audit as deeply, write to another output_dir, or pass --replace-report "
            "(replace_report=True)"
        )
