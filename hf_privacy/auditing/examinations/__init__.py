"""What an audit examines: one module each, named in one table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hf_privacy.auditing.examination import Examination
from hf_privacy.errors import InputError
from hf_privacy.exports import located
from hf_privacy.outside import load_outside

# In the order in which they are checked and made: the one place where each is named outside its own module.
EXAMINATIONS: dict[str, str] = {
    "canaries": "hf_privacy.auditing.examinations.canaries.run:Canaries",
    "blind_baseline": "hf_privacy.auditing.examinations.blind_baseline:BlindBaseline",
    "membership": "hf_privacy.auditing.examinations.membership.run:Membership",
    "memorization": "hf_privacy.auditing.examinations.memorization:Memorization",
    "extraction": "hf_privacy.auditing.examinations.extraction.run:Extraction",
    "robustness": "hf_privacy.auditing.examinations.robustness:Robustness",
    "unlearning": "hf_privacy.auditing.examinations.unlearning.examination:Unlearning",
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _.:-]{0,99}")  # as the report's schema has it


def examinations_of(outside: Sequence[str]) -> list[Examination]:
    """Every examination of an audit, made anew: those of the package, then those of a user's own.

    Parameters
    ----------
    outside : sequence of str
        ``module:Name`` each, of a class that follows `Examination`.

    Raises
    ------
    InputError
        For a name behind which there is no such class, or two of one name.
    """
    ours = [located(place)() for place in EXAMINATIONS.values()]
    theirs: list[Examination] = []
    for target in outside:
        examination = _made(load_outside(target, argument="examinations"), target)
        if examination.name in {*EXAMINATIONS, *(other.name for other in theirs)}:
            raise InputError(
                f"examinations holds {target!r}, whose name {examination.name!r} another has: name it otherwise"
            )
        theirs.append(examination)
    return [*ours, *theirs]


def _made(found: Any, target: str) -> Examination:
    if isinstance(found, type):
        try:
            found = found()
        except TypeError as error:
            raise InputError(f"examinations holds {target!r}, which is not made without arguments: {error}") from error
    name = getattr(found, "name", None)
    if (
        not isinstance(name, str)
        or not _NAME.fullmatch(name)
        or not all(callable(getattr(found, part, None)) for part in ("check", "run"))
    ):
        raise InputError(
            f"examinations holds {target!r}, which is no examination: give it a name, check(case) and run(case), as "
            "hf_privacy.auditing.Examination says"
        )
    return found
