"""What a reader needs in half a minute: how bad it is, whether it is allowed, and what to do now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hf_privacy.hub.evidence import ADVERSARIAL, all_attacks, tpr_at
from hf_privacy.hub.gate import GateError, GateSettings, OverBudgetError, judge_report
from hf_privacy.hub.headline import percent
from hf_privacy.hub.levels import LEVELS, bounds_of, level_at
from hf_privacy.hub.prices import price_sentences
from hf_privacy.hub.unlearned import Forgetting, forgetting

BUDGETS = (
    "max_auc", "max_tpr_at_fpr", "max_extraction", "max_unlearning_gap", "max_retained_loss", "max_perplexity_rise"
)  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """The verdict on a report.

    Attributes
    ----------
    sentence : str
        How many training records can be picked out, in natural frequencies.
    level : str
        One of `LEVELS`.
    reasons : tuple of str
        Why that level, and how far the interval reaches.
    budget : "passed", "failed" or "not set"
    budget_reason : str
        Why it failed, or how to set one.
    concerns : str
        Whose records these are, and what an attacker must have.
    next_steps : tuple of str
        What to do now, the first first.
    forgetting : Forgetting or None
        Of an unlearned model, whether it forgot as retraining does, and what that cost.
    """

    sentence: str
    level: str
    reasons: tuple[str, ...]
    budget: str
    budget_reason: str
    concerns: str
    next_steps: tuple[str, ...]
    forgetting: Forgetting | None = None


def verdict(report: Mapping[str, Any], settings: GateSettings | None = None) -> Verdict:
    """Give the verdict on a valid report.

    The level goes by the strongest attack that was shown to do better than guessing: by how many times as many
    training records it finds as it claims others by mistake (2, 5 and 20 times), and by the largest AUC shown (0.55,
    0.65 and 0.8); the worse of both counts. These bounds are this package's, no law's; a recipe sets others by
    ``push.level_times`` and ``push.level_aucs``, which the report then holds as its ``levels``. Of an
    unlearned model see `hf_privacy.hub.unlearned.forgetting`.

    Parameters
    ----------
    report : mapping
        As `validate_report` takes it.
    settings : GateSettings, optional
        The budget; by default the report's own ``budget``, which the audit's recipe set.

    Returns
    -------
    Verdict
    """
    settings = GateSettings(**budget_of(report)) if settings is None else settings
    level, why = _level(report)
    status, reason, leaks = _budget(report, settings)
    section = report["unlearning"]
    forgot = None if section is None else forgetting(section, settings)
    return Verdict(
        sentence=_sentence(report),
        level=level,
        reasons=(why,),
        budget=status,
        budget_reason=reason,
        concerns=_concerns(report),
        next_steps=(*(() if forgot is None else forgot.next_steps), *_next_steps(report, level, status, leaks)),
        forgetting=forgot,
    )


def budget_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The gate's settings that a report carries.

    Examples
    --------
    >>> budget_of({"budget": {"max_auc": 0.6, "max_tpr_at_fpr": [{"fpr": 0.01, "tpr": 0.05}]}})
    {'max_auc': 0.6, 'max_tpr_at_fpr': {0.01: 0.05}}
    >>> budget_of({})
    {}
    """
    found = dict(report.get("budget") or {})
    if "max_tpr_at_fpr" in found:
        found["max_tpr_at_fpr"] = {entry["fpr"]: entry["tpr"] for entry in found["max_tpr_at_fpr"]}
    return found


def budget_record(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """A recipe's budget as the report holds it; None where none is set.

    Examples
    --------
    >>> budget_record({"max_auc": None, "max_tpr_at_fpr": {0.01: 0.05}, "min_depth": "full"})
    {'max_tpr_at_fpr': [{'fpr': 0.01, 'tpr': 0.05}], 'min_depth': 'full'}
    >>> budget_record({"max_auc": None, "min_depth": "full"}) is None
    True
    """
    if all(settings.get(name) is None for name in BUDGETS):
        return None
    kept = {
        name: settings[name]
        for name in (*BUDGETS, "min_depth", "min_references", "min_confidence")
        if settings.get(name) is not None
    }
    if settings.get("require_unlearning"):
        kept["require_unlearning"] = True
    rates = kept.get("max_tpr_at_fpr")
    if rates is not None:
        pairs = rates.items() if isinstance(rates, Mapping) else [rates]
        kept["max_tpr_at_fpr"] = [{"fpr": float(fpr), "tpr": float(tpr)} for fpr, tpr in pairs]
    return kept


def _shown(report: Mapping[str, Any]) -> bool:
    evidence = report["evidence"]
    return bool(evidence["strongest"]["p_value"] <= evidence["level"])


def _sentence(report: Mapping[str, Any]) -> str:
    found = report["evidence"]["strongest"]
    fpr = found["fpr"]
    if fpr is None:
        if not _shown(report):
            return "No attack tried could be shown to tell training records from others better than guessing."
        return (
            f"Of 100 pairs of a training record and another record, the strongest attack tells which is which in "
            f"{_count(found['value'], 100)} ({_count(found['low'], 100)} to {_count(found['high'], 100)}); guessing "
            "does in 50."
        )
    of = 100
    while fpr * of < 0.999999:
        of *= 10
    alarms = f"{_count(fpr, of)} false alarm{'s' * (_count(fpr, of) != '1')} in {of:,}"
    if not _shown(report):
        highs = [entry["high"] for _, attack in all_attacks(report) if (entry := tpr_at(attack, fpr=fpr))]
        return (
            f"No attack tried could be shown to pick out training records better than guessing; of {of:,} at most "
            f"{_count(max(highs), of)} can be, at {alarms}."
        )
    inputs = " with adversarial inputs" if found["inputs"] == ADVERSARIAL else ""
    return (
        f"Of {of:,} training records about {_count(found['value'], of)} ({_count(found['low'], of)} to "
        f"{_count(found['high'], of)}) can be picked out{inputs}, at {alarms}."
    )


def _count(share: float, of: int) -> str:
    """A share as so many of a whole number, one decimal where that is less than ten.

    Examples
    --------
    >>> _count(0.131, 100), _count(0.013, 100), _count(0.0004, 100), _count(1.0, 100), _count(0.0, 100)
    ('13', '1.3', '0.04', '100', '0')
    """
    value = share * of
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def _level(report: Mapping[str, Any]) -> tuple[str, str]:
    """The level, and why."""
    evidence = report["evidence"]
    found = evidence["strongest"]
    bounds_by_times, bounds_by_area = bounds_of(report)
    if not _shown(report):
        reach = _highest(report, found["fpr"])
        return "not shown", f"No leakage was shown; the intervals' upper ends would allow a level of {reach}."
    areas = [
        attack["auc"]
        for (_, attack), test in zip(all_attacks(report), evidence["attacks"], strict=True)
        if test["auc"] <= evidence["level"]
    ]
    by_area = level_at(max(areas, default=0.0), bounds_by_area)
    if found["fpr"] is None:
        return by_area, f"The largest AUC shown is {max(areas):.2f} (guessing: 0.50)."
    times = found["value"] / found["fpr"]
    by_times = level_at(times, bounds_by_times)
    level = max(by_times, by_area, key=LEVELS.index)
    why = f"The strongest attack finds {times:.2g} times as many training records as it claims others by mistake"
    why += f", and the largest AUC shown is {max(areas):.2f} (guessing: 0.50)." if areas else "."
    reach = level_at(found["high"] / found["fpr"], bounds_by_times)
    if LEVELS.index(reach) > LEVELS.index(level):
        why += f" By the upper end of its interval the level would be {reach}."
    return level, why


def _highest(report: Mapping[str, Any], fpr: float | None) -> str:
    attacks = [attack for _, attack in all_attacks(report)]
    bounds_by_times, bounds_by_area = bounds_of(report)
    levels = [level_at(max(attack["auc_high"] for attack in attacks), bounds_by_area)]
    if fpr is not None:
        highs = [entry["high"] for attack in attacks if (entry := tpr_at(attack, fpr=fpr))]
        levels.append(level_at(max(highs) / fpr, bounds_by_times))
    return max(levels, key=LEVELS.index)


def _budget(report: Mapping[str, Any], settings: GateSettings) -> tuple[str, str, bool]:
    """How the budget stands, why, and whether it is leakage that fails it, and not an audit that cannot tell."""
    if all(getattr(settings, name) is None for name in BUDGETS):
        reason = (
            "Nobody has said how much may leak. To set it, put into the recipe `push: {max_tpr_at_fpr: {0.01: 0.05}}` "
            "(at most 5 of 100 training records at 1 false alarm in 100, by the upper end) or `max_auc`."
        )
        return "not set", reason, False
    try:
        judge_report(dict(report), settings)
    except GateError as refusal:
        return "failed", f"{str(refusal)[0].upper()}{str(refusal)[1:]}.", isinstance(refusal, OverBudgetError)
    return "passed", f"The report keeps {_asked(settings)}, by the upper ends of its intervals.", False


def _asked(settings: GateSettings) -> str:
    asked = []
    if settings.max_auc is not None:
        asked.append(f"an AUC of at most {settings.max_auc:g}")
    rates = settings.max_tpr_at_fpr
    if rates is not None:
        pairs = rates.items() if isinstance(rates, Mapping) else [rates]
        asked += [f"at most {percent(tpr)} of the training records at {percent(fpr)} FPR" for fpr, tpr in pairs]
    if settings.max_extraction is not None:
        asked.append(f"at most {percent(settings.max_extraction)} of the texts given back")
    if settings.max_unlearning_gap is not None:
        asked.append(f"at most {100 * settings.max_unlearning_gap:g} points from retraining")
    if settings.max_retained_loss is not None:
        asked.append(f"at most {100 * settings.max_retained_loss:g} points lost of what was to be kept")
    if settings.max_perplexity_rise is not None:
        asked.append(f"a perplexity of what was to be kept at most {percent(settings.max_perplexity_rise)} higher")
    return " and ".join(asked)


def _concerns(report: Mapping[str, Any]) -> str:
    split = report["split"]
    groups = split.get("n_groups")
    who = f"{split['n_members']:,} training records"
    if groups is not None:
        who += f" of {groups['members']:,} ({split['unit']})"
    return (
        f"It concerns the {who}. Whoever has a record, and the model or its outputs, can ask whether it was trained "
        "on: that alone may tell something of a person, such as having been a patient."
    )


def _task_of(model: Mapping[str, Any]) -> str | None:
    """The task; of a report from before it was said, by the architecture's name."""
    kinds = {
        "Tabular": "tabular-classification",
        "ForImageClassification": "image-classification",
        "ForSequenceClassification": "text-classification",
        "ForCausalLM": "causal-lm",
    }
    found = (task for word, task in kinds.items() if word in model["architecture"])
    return model.get("task") or next(found, None)


def _of_scores(report: Mapping[str, Any]) -> bool:
    """Whether the model was not opened, and a table of its scores was audited."""
    return report["model"].get("weights_sha256", "") is None


def _with_references(report: Mapping[str, Any]) -> str:
    """How to come to reference models: by a recipe, or in a table of scores by their columns."""
    if _of_scores(report):
        return "add their scores to the table (columns `reference_0_probability` and `reference_0_member`, and so on)"
    if report["defense"]["name"] == "unknown":
        return "`hf-privacy audit --model … --config recipe.yaml`, with the recipe it was trained by"
    return "`hf-privacy audit --audit.depth full`"


def _next_steps(report: Mapping[str, Any], level: str, status: str, leaks: bool) -> Iterator[str]:
    defense, unlearned = report["defense"]["name"], report["unlearning"]
    if report["depth"] == "quick" and unlearned is None:
        yield (
            f"Audit with reference models before relying on this: {_with_references(report)}. Without them "
            "attacks usually find far less than there is."
        )
    if LEVELS.index(level) >= LEVELS.index("moderate") or leaks:
        if defense in ("none", "unknown"):
            yield from price_sentences(_task_of(report["model"]))
        else:
            yield (
                f"The defence {defense} did not keep it down: set it stronger, train fewer epochs, or take one with a "
                "guarantee (`defense: dp`)."
            )
    elif level == "not shown" and report["depth"] == "full":
        yield (
            "More records in the audit, or more reference models, make the intervals narrower: they say how little "
            "leaks."
        )
    if status == "failed" and not leaks:
        yield "Do what is said of the budget: it is not by leakage that it fails."
    opened = not _of_scores(report)
    if status == "not set":
        yield "Set a budget, so that " + (
            "`hf-privacy push` refuses a model that leaks more." if opened else "the next audit says whether it holds."
        )
    elif status == "passed" and opened:
        yield "It may be pushed: `hf-privacy push`."
    elif status == "passed":
        yield "Before a push audit the saved model itself: a table of scores can be held against no weights."
