"""What an audit says of a model that was made to forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hf_privacy.auditing.examinations.unlearning.folder import UnlearnedFolder

if TYPE_CHECKING:
    from hf_privacy.auditing.case import AuditCase


class Unlearning:
    """The examination; `judge_unlearning` has made its section, which lies in the folder of the unlearned model."""

    name = "unlearning"

    def check(self, case: AuditCase) -> None:
        """Nothing can be wrong: a model that was not unlearned has no such section."""

    def run(self, case: AuditCase) -> dict[str, Any] | None:
        """The report's ``unlearning``, where the audited folder holds one of its weights."""
        section = None if case.folder is None else UnlearnedFolder(case.folder).section()
        return None if section is None else {"unlearning": section}
