"""What a privacy report holds, as plain data; how it is shown, saved and published stands above."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np

from hf_privacy.errors import InputError
from hf_privacy.hub import Verdict, headline, validate_report, verdict
from hf_privacy.hub.schema import SCHEMA_VERSION
from hf_privacy.reports.leaks import refuse_leaks

Same = TypeVar("Same", bound="Report")


@dataclass(kw_only=True)
class Report:
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
        Per attack name the result of `hf_privacy.reports.curve_of`.
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
    memorization : dict or None
        How much likelier a language model's rows are for models that were trained on them: ``mean`` over rows,
        ``groups``, and ``curvature``, the correlation of curvature with it.
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
    extraction : dict or None
        How much of its training texts a language model gives back: ``greedy`` and ``sampling`` for members, held-out
        rows and the base model, with ``leakage``, their difference; ``overlap`` of generated and true text.
    budget : dict or None
        How much may leak, as the recipe of the audit had it; what the verdict holds the figures against.
    levels : dict or None
        Where the verdict's levels begin, ``times`` and ``aucs``, as that recipe had it; else this package's bounds.
    schema_version : str
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
    extraction: dict[str, Any] | None = None
    memorization: dict[str, Any] | None = None
    outside: dict[str, dict[str, Any]] | None = None
    budget: dict[str, Any] | None = None
    levels: dict[str, Any] | None = None
    schema_version: str = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Give the report as plain Python values in the order of the schema, validated.

        Raises
        ------
        InputError
            When the report breaks the schema, or holds an absolute path or a token anywhere.
        """
        values = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        for name in ("extraction", "memorization", "outside", "budget", "levels"):  # parts that most reports lack
            if values[name] is None:
                del values[name]
        report = {"schema_version": values.pop("schema_version"), **values}
        validate_report(report)
        refuse_leaks(report, name="the report")
        return report

    @classmethod
    def from_dict(cls: type[Same], report: dict[str, Any]) -> Same:
        """Make a report of the dictionary `to_dict` gives.

        Raises
        ------
        InputError
            When it breaks the schema.
        """
        plain = _plain(report)
        validate_report(plain)
        return cls(**plain)

    def headline(self) -> str:
        """Say what the audit shows of leakage, and what it could not; see `hf_privacy.hub.headline`."""
        return headline(vars(self))

    def verdict(self) -> Verdict:
        """How bad it is, whether the budget allows it and what to do now; see `hf_privacy.hub.verdict`."""
        return verdict(vars(self))


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
