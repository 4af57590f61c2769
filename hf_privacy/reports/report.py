"""The privacy report: what `hf_privacy.audit` returns, what is saved, read back and published."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hf_privacy.errors import InputError
from hf_privacy.hub import GateError, headline, load_report_dict, validate_report, weights_sha256
from hf_privacy.hub.evidence import CLEAN, strength_order
from hf_privacy.hub.headline import evidence_sentence
from hf_privacy.hub.schema import SCHEMA_VERSION
from hf_privacy.hub.strength import Strength, refuse_weaker
from hf_privacy.reports.card import write_card
from hf_privacy.reports.card_data import CardData, card_data_of_folder
from hf_privacy.reports.explain import leakage_sentence
from hf_privacy.reports.files import write_together
from hf_privacy.reports.leaks import refuse_leaks
from hf_privacy.reports.page import render_page
from hf_privacy.reports.sections.attack_plots import roc_figure, scores_figure
from hf_privacy.reports.sections.budgets import budgets_figure
from hf_privacy.reports.sections.memorization import memorization_table
from hf_privacy.reports.sections.memorization_plot import is_drawn, memorization_figure
from hf_privacy.reports.sections.outside import outside_lines
from hf_privacy.reports.sections.unlearning import unlearning_lines
from hf_privacy.reports.style import png_bytes
from hf_privacy.reports.table import (
    MAX_WIDTH,
    adversarial_attack_table,
    attack_table,
    canaries_line,
    memorization_lines,
    targets_table,
)

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

REPORT_FILE = "privacy_report.json"
PAGE_FILE = "privacy_report.html"
ROC_FILE = "privacy_roc.png"
SCORES_FILE = "privacy_scores.png"
BUDGETS_FILE = "privacy_budgets.png"
MEMORIZATION_FILE = "privacy_memorization.png"


@dataclass(kw_only=True)
class PrivacyReport:
    """What an audit found, as aggregates only: never an example, an id, a path or a token.

    The fields are the top-level keys of ``privacy_report.json``; the values inside are plain dictionaries and lists,
    whose shape the published schema (``hf_privacy/hub/privacy_report.schema.json``) fixes.

    Parameters
    ----------
    created : str
        UTC time, ``2026-11-23T10:00:00Z``.
    model : dict
        Name, architecture, base model and revision, SHA-256 of the weights, parameter counts, adapter.
    dataset : dict
        Name, revision, fingerprint, numbers of examples and classes.
    split : dict
        Hash and sizes of the membership split, and the repeats found across it.
    defense : dict
        Name ("none" for the undefended baseline), parameters, paper.
    training : dict
        Scalar hyper-parameters.
    epsilon : dict
        ``upper`` (guaranteed) and ``lower`` (measured) bounds on ε, each None where there is none.
    depth : "quick" or "full"
        Without or with reference models.
    references : dict or None
        Number of reference models, the fraction of the data each holds, the recipe's hash.
    attacks : list of dict
        Per attack the summary of :func:`hf_privacy.statistics.summarize`, with name, title and budget.
    evidence : dict
        Whether the best of all attacks, those on adversarial inputs included, does better than guessing: ``strongest``
        (attack, inputs, measure, FPR, value, interval and corrected p-value), which headline, card, commit, gate and
        plots name, the p-values of all ``attacks``, and how they were corrected.
    curves : dict
        Per attack name the result of :func:`hf_privacy.reports.curve_of`.
    utility : dict
        Accuracy with intervals and mean loss on members and non-members.
    cost : dict
        Seconds spent per stage, None where unknown.
    versions : dict
        Package versions.
    caveats : list of str
        What a reader of this particular audit must know.
    targets : dict or None
        The same attacks on several targets of the recipe: means and intervals over training runs.
    budgets : dict or None
        Every attack at several numbers of reference models, as means over the targets.
    blind_baseline : dict or None
        How well members and non-members can be told apart without the model.
    canaries : dict or None
        The canary audit that ``epsilon["lower"]`` comes from.
    class_slices : list of dict or None
        Leakage of the strongest attack by class.
    memorization_bins : list of dict or None
        Leakage by memorization score, of one attack or several; each entry names its ``attack``.
    leakage_share : dict or None
        Of one attack's true positives at an FPR, the share carried by the most memorized examples: ``attack``,
        ``fpr``, ``ranked_by``, and ``shares`` with ``top`` (0.01 is the top 1 %), ``share`` with its interval, and
        ``n_examples``.
    robustness : dict or None
        The adversarial attack (``norm``, ``epsilon``, ``n_steps``, ``step_size``, ``space``); ``accuracies`` by
        ``name`` ("clean", "pgd", "autoattack") and ``set`` ("members", "nonmembers"); the same over several
        ``targets`` and by ``memorization_bins``; ``membership_attacks`` on adversarial inputs; ``seconds``.
    unlearning : dict or None
        What the model was made to forget: ``request`` (kind and counts), ``method``, ``figures`` (UA, RA, TA and MIA
        efficacy ``before``, ``after`` and ``retrained``), ``gap`` to retraining, ``retain_harm``, ``forget_loss``
        (quantiles), ``relearning``, ``u_lira`` and ``cost``.
    schema_version : str

    Examples
    --------
    >>> PrivacyReport.load("no/such/folder")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: there is no privacy_report.json in no/such/folder: run `hf-privacy audit` first
    """

    created: str
    model: dict[str, Any]
    dataset: dict[str, Any]
    split: dict[str, Any]
    defense: dict[str, Any]
    training: dict[str, Any]
    epsilon: dict[str, Any]
    depth: str
    references: dict[str, Any] | None
    attacks: list[dict[str, Any]]
    evidence: dict[str, Any]
    curves: dict[str, dict[str, Any]]
    utility: dict[str, Any]
    cost: dict[str, Any]
    versions: dict[str, str]
    caveats: list[str]
    targets: dict[str, Any] | None = None
    budgets: dict[str, Any] | None = None
    blind_baseline: dict[str, Any] | None = None
    canaries: dict[str, Any] | None = None
    class_slices: list[dict[str, Any]] | None = None
    memorization_bins: list[dict[str, Any]] | None = None
    leakage_share: dict[str, Any] | None = None
    robustness: dict[str, Any] | None = None
    unlearning: dict[str, Any] | None = None
    outside: dict[str, dict[str, Any]] | None = None
    schema_version: str = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain Python values in the order of the schema, validated.

        Raises
        ------
        InputError
            When the report breaks the schema, or holds an absolute path or a token anywhere.
        """
        values = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        if values["outside"] is None:
            del values["outside"]
        report = {"schema_version": values.pop("schema_version"), **values}
        validate_report(report)
        refuse_leaks(report, name="the report")
        return report

    @classmethod
    def from_dict(cls, report: dict[str, Any]) -> PrivacyReport:
        """Make a report of the dictionary `to_dict` gives.

        Raises
        ------
        InputError
            When it breaks the schema.
        """
        plain = _plain(report)
        validate_report(plain)
        return cls(**plain)

    def save(self, folder: str | Path, *, replace_report: bool = False) -> Path:
        """Write ``privacy_report.json``, ``.html``, ``privacy_roc.png`` and ``privacy_scores.png`` into a folder,
        ``privacy_budgets.png`` where there are budgets, and ``privacy_memorization.png`` where there are
        memorization bins.

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
        written = write_together(folder, contents) / REPORT_FILE
        for name in (BUDGETS_FILE, MEMORIZATION_FILE):
            if name not in contents:
                # Left by an earlier audit: it would be taken for this one's.
                (Path(folder) / name).unlink(missing_ok=True)
        return written

    def rendered(self) -> dict[str, bytes]:
        """Make plots, page and JSON, in the order in which they are to be written.

        Returns
        -------
        dict of str to bytes
            By file name; ``privacy_report.json`` last.

        Raises
        ------
        InputError
            When the report breaks the schema or holds a path or a token.
        """
        report = self.to_dict()
        order = [attack["name"] for inputs, attack in strength_order(report) if inputs == CLEAN]
        roc_png = png_bytes(roc_figure(self.attacks, self.curves, order=order))
        scores_png = png_bytes(scores_figure(self.attacks, self.curves, order=order))
        table = memorization_table(self)
        more_pngs = {
            BUDGETS_FILE: None if self.budgets is None else png_bytes(budgets_figure(self.budgets)),
            MEMORIZATION_FILE: png_bytes(memorization_figure(table)) if table and is_drawn(table) else None,
        }
        page = render_page(
            self,
            roc_png=roc_png,
            scores_png=scores_png,
            budgets_png=more_pngs[BUDGETS_FILE],
            memorization_png=more_pngs[MEMORIZATION_FILE],
        )
        text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        return {
            ROC_FILE: roc_png,
            SCORES_FILE: scores_png,
            **{name: png for name, png in more_pngs.items() if png is not None},
            PAGE_FILE: page.encode(),
            REPORT_FILE: text.encode(),
        }

    @classmethod
    def load(cls, folder: str | Path) -> PrivacyReport:
        """Read ``privacy_report.json`` from a folder.

        Raises
        ------
        InputError
            When it is absent, is not JSON, or breaks the schema.
        """
        return cls.from_dict(load_report_dict(folder))

    def headline(self) -> str:
        """Say what the audit shows of leakage, and what it could not; see `hf_privacy.hub.headline`."""
        return headline(vars(self))

    def table(self) -> str:
        """Lay the attacks out as plain text of at most 100 columns.

        Below them, how the strongest was tested against guessing, and, where measured: several targets, accuracy and
        leakage by memorization, membership attacks on adversarial inputs, the share of the most memorized examples,
        canaries, and what was unlearned.
        """
        tested = textwrap.wrap(evidence_sentence(vars(self)), MAX_WIDTH, subsequent_indent="  ")
        parts = ["\n".join([attack_table(self.attacks), *tested])]
        if self.targets is not None:
            parts.append(targets_table(self.targets))
        by_memorization = memorization_table(self)
        if by_memorization is not None:
            parts.append(memorization_lines(by_memorization, self.robustness))
        if self.robustness is not None and self.robustness["membership_attacks"]:
            parts.append(adversarial_attack_table(self.robustness))
        if self.leakage_share is not None:
            parts.append("\n".join(textwrap.wrap(leakage_sentence(self), MAX_WIDTH, subsequent_indent="  ")))
        if self.canaries is not None:
            parts.append(canaries_line(self.canaries, self.epsilon["upper"]))
        if self.unlearning is not None:
            parts.append(unlearning_lines(self.unlearning))
        parts.extend(outside_lines(self.outside))
        return "\n\n".join(parts)

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
        from hf_privacy.reports.publish import push_folder  # which reads reports

        return push_folder(
            folder, repo_id, card_data=data, token=token, private=private, create_pr=create_pr, **push_arguments
        )


def _plain(value: Any) -> Any:
    """Copy into plain Python values: NumPy scalars and arrays become numbers and lists, tuples become lists."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise InputError(f"a value of the report is a {type(value).__name__}: pass text, numbers, lists and dictionaries")
