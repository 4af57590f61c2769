"""The verdict, first everywhere: how bad, whether it is allowed, what now; with the budget it was held against."""

from __future__ import annotations

from typing import Any

from hf_privacy.hub.levels import bounds_of
from hf_privacy.hub.unlearned import FORGET_GAP, PERPLEXITY_RISE, RETAINED_LOSS
from hf_privacy.hub.verdict import verdict
from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import listed, nullable, one_of, record
from hf_privacy.reports.words import percent, wrapped

FIELDS = {
    "budget": nullable(
        record(
            "max_auc unit, max_extraction unit, max_unlearning_gap unit, max_retained_loss unit, "
            "max_perplexity_rise amount, min_references count, min_confidence open_unit, require_unlearning boolean",
            optional="max_auc max_tpr_at_fpr max_extraction max_unlearning_gap max_retained_loss "
            "max_perplexity_rise min_depth min_references min_confidence require_unlearning",
            max_tpr_at_fpr=listed(record("fpr unit, tpr unit"), least=1, most=64),
            min_depth=one_of("quick", "full"),
        ),
        "How much may leak, as the audit's recipe had it; absent where nobody said.",
    ),
    "levels": nullable(
        record(
            optional="times aucs",
            times=listed("amount", least=3, most=3),
            aucs=listed("unit", least=3, most=3),
        ),
        "Where the verdict's levels moderate, high and very high begin, as the audit's recipe had it; absent where it "
        "set none.",
    ),
}


def shown(report: Report) -> dict[str, Any]:
    return {"verdict": verdict(vars(report))}


def lines(report: Report) -> str:
    """The verdict for a terminal."""
    found = verdict(vars(report))
    forgot = found.forgetting
    paragraphs = [
        f"VERDICT: {found.sentence}",
        *([] if forgot is None else [f"Unlearning: {forgot.status}. {' '.join(forgot.reasons)}"]),
        f"Level: {found.level}. {' '.join(found.reasons)}",
        f"Budget: {found.budget}. {found.budget_reason}",
        *(f"Next: {step}" for step in found.next_steps),
    ]
    return "\n".join(line for paragraph in paragraphs for line in wrapped(paragraph))


def meaning(report: Report) -> list[str]:
    by_times, by_area = bounds_of(vars(report))
    times = ", ".join(f"{level} from {bound:g} times" for level, bound in by_times.items())
    areas = ", ".join(f"{level} from {bound:g}" for level, bound in by_area.items())
    whose = "this package's" if report.levels is None else "those that the audit's recipe set"
    found = [
        "The level goes by the strongest attack that was shown to do better than guessing: by how many times as many "
        f"training records it finds as it claims others by mistake ({times}; low below) and by the largest AUC shown "
        f"({areas}); the worse counts. These bounds are {whose}: no law or authority names them."
    ]
    if report.unlearning is not None:
        found.append(
            "Unlearning is said to break what was to be kept where, beside retrained models (or, without these, the "
            f"model before), more than {100 * RETAINED_LOSS:g} points less of it are right or its perplexity is more "
            f"than {percent(PERPLEXITY_RISE)} higher, and not to be as retraining where a figure of the forget set is "
            f"more than {100 * FORGET_GAP:g} points off and outside the interval of 3 or more retrained models. The "
            "recipe sets other bounds with push.max_retained_loss, push.max_perplexity_rise and "
            "push.max_unlearning_gap, which the gate keeps too."
        )
    return found
