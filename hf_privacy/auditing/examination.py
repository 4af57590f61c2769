"""What an examination is: one part of an audit, with a check before any training and a section after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hf_privacy.auditing.case import AuditCase


class Examination(Protocol):
    """One part of an audit; a class of your own that has these three is named in ``audit.examinations``.

    It is made without arguments, once for each audit, so that `check` may leave on it what `run` needs.

    Attributes
    ----------
    name : str
        What its section is called.

    Examples
    --------
    >>> class MemberAccuracy:
    ...     name = "member_accuracy"
    ...
    ...     def check(self, case):
    ...         if len(case.split.members) < 20:
    ...             raise hf_privacy.InputError("member_accuracy needs at least 20 members")
    ...
    ...     def run(self, case):
    ...         correct = case.table.target["correct"][0, : case.table.n_pool]
    ...         return {"accuracy": float(correct[case.split.membership].mean())}
    """

    name: str

    def check(self, case: AuditCase) -> None:
        """Raise `InputError` for what this examination cannot be made of; called before anything is trained."""

    def run(self, case: AuditCase) -> dict[str, Any] | None:
        """The section, or None where there is nothing to say.

        Of one of your own: plain values, aggregates alone, which the report holds under ``outside``. The package's
        own give the parts of `hf_privacy.reports.PrivacyReport` that they make, by name.
        """
