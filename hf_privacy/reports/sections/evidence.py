"""Whether the best of all attacks is better than guessing, and which is the strongest."""

from __future__ import annotations

from typing import Any

from hf_privacy.hub.evidence import ADVERSARIAL, CLEAN
from hf_privacy.hub.headline import evidence_sentence
from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import ESTIMATE, listed, one_of, record

SHAPES = {
    "p_value": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    "inputs": one_of(CLEAN, ADVERSARIAL),
    "strongest": record(
        f"attack name, inputs inputs, fpr optional_unit, {ESTIMATE}, p_value p_value", measure=one_of("tpr", "auc")
    ),
    "test": record(
        "attack name, inputs inputs, auc p_value", tpr=listed(record("fpr unit, p_value p_value"), most=64)
    ),
}
FIELDS = {
    "evidence": record(
        "method text, n_attacks positive_count, n_permutations positive_count, level open_unit, strongest strongest",
        attacks=listed("test", least=1, most=200),
        description="Whether the best of all attacks, those on adversarial inputs included, is better than guessing: "
        "p-values corrected for looking at all of them by AUC and every resolved TPR, and the strongest, which every "
        "headline names.",
    )
}


def shown(report: Report) -> dict[str, Any]:
    return {"evidence": evidence_sentence(vars(report))}
