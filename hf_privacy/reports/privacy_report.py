"""The privacy report: what `hf_privacy.audit` returns, what is saved, read back and published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_privacy.hub import REPORT_NAME, GateError, load_report_dict, weights_sha256
from hf_privacy.hub.gate import refuse_unopened
from hf_privacy.hub.strength import Strength, refuse_weaker
from hf_privacy.reports.card import write_card
from hf_privacy.reports.card_data import CardData, card_data_of_folder
from hf_privacy.reports.files import write_together
from hf_privacy.reports.publish import push_folder
from hf_privacy.reports.rendered import OPTIONAL_FILES, rendered
from hf_privacy.reports.report import Report
from hf_privacy.reports.table import table

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo


class PrivacyReport(Report):
    __doc__ = Report.__doc__

    def save(self, folder: str | Path, *, replace_report: bool = False) -> Path:
        """Write ``privacy_report.json``, ``.html``, ``privacy_roc.png`` and ``privacy_scores.png`` into a folder,
        ``privacy_budgets.png`` where there are budgets, ``privacy_memorization.png`` where there are memorization
        bins, and ``privacy_extraction.png`` where there is extraction.

        Everything is made and written under temporary names first; the JSON file is renamed last, so a reader never
        sees a report without its plots, and a failure leaves the earlier report whole.

        Parameters
        ----------
        folder : path
            Made when it does not exist.
        replace_report : bool
            Take the place of a report there that says more of the same weights.

        Returns
        -------
        Path
            The JSON file.

        Raises
        ------
        InputError
            When the report breaks the schema or holds a path or a token, or a deeper report of the same weights is
            there; nothing is written then.
        """
        contents = self.rendered()
        if not replace_report:
            refuse_weaker(folder, self.model["weights_sha256"], Strength.of(self.to_dict()))
        written = write_together(folder, contents) / REPORT_NAME
        for name in OPTIONAL_FILES:
            if name not in contents:
                # Left by an earlier audit: it would be taken for this one's.
                (Path(folder) / name).unlink(missing_ok=True)
        return written

    def rendered(self) -> dict[str, bytes]:
        """Make plots, page and JSON by file name, in the order in which they are to be written; see `save`."""
        return rendered(self)

    @classmethod
    def load(cls, folder: str | Path) -> PrivacyReport:
        """Read ``privacy_report.json`` from a folder.

        Raises
        ------
        InputError
            When it is absent, is not JSON, or breaks the schema.

        Examples
        --------
        >>> PrivacyReport.load("no/such/folder")
        Traceback (most recent call last):
        ...
        hf_privacy.errors.InputError: there is no privacy_report.json in no/such/folder: run `hf-privacy audit` first
        """
        return cls.from_dict(load_report_dict(folder))

    def table(self) -> str:
        """Lay the attacks out as plain text of at most 100 columns.

        Below them, how the strongest was tested against guessing, and, where measured: several targets, accuracy and
        leakage by memorization, membership attacks on adversarial inputs, the share of the most memorized examples,
        canaries, what was unlearned, and what examinations from outside found.
        """
        return table(self)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        folder: str | Path,
        card_data: CardData | None = None,
        token: str | None = None,
        private: bool = True,
        create_pr: bool = False,
        **push_arguments: Any,
    ) -> CommitInfo:
        """Write the report and the card into the model's folder and push it all in one commit.

        Parameters
        ----------
        repo_id : str
            ``owner/name`` on the Hub.
        folder : path
            The folder with the weights this report speaks of.
        card_data : CardData, optional
            What the card says beyond the report; read off the folder's configuration by default.
        token : str, optional
            Hub token; the saved one by default.
        private, create_pr : bool
            As in :func:`hf_privacy.reports.push_folder`.
        **push_arguments
            Further arguments of :func:`hf_privacy.reports.push_folder`, such as the budget of the gate.

        Raises
        ------
        GateError
            When the folder holds other weights than those audited (nothing is written then), or the gate refuses.
        """
        refuse_unopened(vars(self))
        found = weights_sha256(folder)
        if found != self.model["weights_sha256"]:
            raise GateError(
                f"the report is for other weights: it was made for {self.model['weights_sha256'][:12]} and the "
                f"folder {folder} holds {found[:12]}: run `hf-privacy audit` on these weights"
            )
        data = replace(card_data_of_folder(folder) if card_data is None else card_data)
        data.repo_id = data.repo_id or repo_id
        data.base_model = push_arguments.get("base_model_id") or data.base_model
        self.save(folder)
        write_card(folder, self, data)
        return push_folder(
            folder, repo_id, card_data=data, token=token, private=private, create_pr=create_pr, **push_arguments
        )
