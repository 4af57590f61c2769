"""What the verdict says of unlearning, on sections made up for each case."""

from __future__ import annotations

import pytest

from hf_privacy.gate_fields import GateFields
from hf_privacy.hub.unlearned import ALIKE, APART, BROKEN, UNKNOWN, forgetting

NO_BUDGET = GateFields()
BEFORE = {"UA": 0.05, "RA": 0.95, "TA": 0.8, "MIA": 0.2}
RETRAINED = {"UA": 1.0, "RA": 0.94, "TA": 0.8, "MIA": 0.98}


def figures(values: dict[str, float], half: float = 0.01) -> list[dict]:
    return [
        {"name": name, "value": value, "low": value - half, "high": value + half} for name, value in values.items()
    ]


def section_of(*, n_retrained: int = 3, half: float = 0.01, after: dict | None = None, **parts) -> dict:
    """A section whose unlearned model is as retraining but for ``after``."""
    stages = {"before": figures(BEFORE), "after": figures({**RETRAINED, **(after or {})})}
    stages["retrained"] = figures(RETRAINED, half) if n_retrained else None
    return {"figures": stages, "n_retrained": n_retrained, "language": None, **parts}


def language(
    perplexities: tuple[float, float, float | None], areas: tuple[float, float, float] = (0.9, 0.5, 0.5)
) -> dict:
    """Perplexities of the retained rows and AUCs on the forget set: before, after and retrained."""
    stages = ("before", "after", "retrained")
    sets = {
        stage: None if value is None else [{"name": "retain", "perplexity": value}]
        for stage, value in zip(stages, perplexities, strict=True)
    }
    membership = {
        stage: {"auc": value, "auc_low": value - 0.02, "auc_high": value + 0.02}
        for stage, value in zip(stages, areas, strict=True)
    }
    return {"sets": sets, "membership": membership}


def test_as_retraining_is_said_with_its_figures():
    found = forgetting(section_of(), NO_BUDGET)
    assert found.status == ALIKE
    assert found.reasons == (
        "Of the forget set 100 % is wrong (retrained models: 100 %), of what was to be kept 94 % is right (retrained "
        "models: 94 %).",
    )
    assert found.next_steps == ()


def test_fourteen_points_less_of_what_was_to_be_kept_are_said_first():
    found = forgetting(section_of(after={"RA": 0.81}), NO_BUDGET)
    assert found.status == BROKEN
    assert found.reasons[0] == (
        "Forgetting broke what was to be kept: of the retained examples the model had 95 % right and now has 81 % "
        "(14.0 points less; retrained models have 94 %; up to 2 are borne)."
    )
    assert found.next_steps[0].startswith("Unlearn again with a smaller learning rate")


@pytest.mark.parametrize("n_retrained", [0, 1, 3])
@pytest.mark.parametrize(
    ("lost", "broken"), [(0.0, False), (0.019, False), (0.021, True), (0.5, True), (-0.05, False)]
)
def test_what_was_kept_is_measured_by_retraining_or_else_by_the_model_before(n_retrained, lost, broken):
    should = RETRAINED if n_retrained else BEFORE
    found = forgetting(section_of(n_retrained=n_retrained, after={"RA": should["RA"] - lost}), NO_BUDGET)
    assert (found.status == BROKEN) == broken
    assert any("broke what was to be kept" in reason for reason in found.reasons) == broken


def test_the_bounds_are_the_budgets_where_it_names_them():
    section = section_of(after={"RA": 0.93, "UA": 0.97})
    assert forgetting(section, NO_BUDGET).status == ALIKE
    assert forgetting(section, GateFields(max_retained_loss=0.005)).status == BROKEN
    assert forgetting(section, GateFields(max_unlearning_gap=0.01)).status == APART
    worse = section_of(after={"RA": 0.8})
    assert forgetting(worse, GateFields(max_retained_loss=0.2)).status == ALIKE


@pytest.mark.parametrize(
    ("perplexities", "said"),
    [
        ((6.58, 6.95, 6.81), None),
        ((6.5, 8.0, 6.4), "now is 8 (25 % higher than in retrained models, 6.4; up to 5 % are borne)."),
        ((6.5, 9.75, None), "now is 9.75 (50 % higher than before; up to 5 % are borne)."),
    ],
)  # fmt: skip
def test_a_language_models_perplexity_counts_too(perplexities, said):
    n_retrained = 0 if perplexities[2] is None else 3
    section = section_of(n_retrained=n_retrained, after={} if n_retrained else BEFORE, language=language(perplexities))
    found = forgetting(section, NO_BUDGET)
    assert (found.status == BROKEN) == (said is not None)
    assert said is None or said in found.reasons[0]
    assert forgetting(section, GateFields(max_perplexity_rise=1.0)).status != BROKEN


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (
            {"UA": 0.4},
            "did not reach what retraining would of the forget set: the model has 40 % of it wrong (retrained",
        ),
        ({"MIA": 0.5}, "an attack takes 50 % of it for unseen (retrained models: 98 %)"),
        ({"UA": 0.4, "MIA": 0.5}, "wrong (retrained models: 100 %), and an attack takes 50 %"),
    ],
)
def test_what_was_not_reached_is_named(after, said):
    found = forgetting(section_of(after=after), NO_BUDGET)
    assert found.status == APART
    assert said in found.reasons[0]
    assert found.next_steps[0].startswith("Unlearn again with more epochs")


def test_more_forgotten_than_by_retraining_shows_as_well():
    section = section_of()
    section["figures"]["retrained"] = figures({**RETRAINED, "UA": 0.35})
    found = forgetting(section, NO_BUDGET)
    assert found.status == APART
    assert found.reasons[0].startswith("Forgetting went beyond retraining, which shows as well: of the forget set the")


def test_what_lies_within_retrainings_own_noise_is_not_held_against_it():
    apart = {"MIA": 0.9}
    assert forgetting(section_of(half=0.1, after=apart), NO_BUDGET).status == ALIKE
    assert forgetting(section_of(half=0.01, after=apart), NO_BUDGET).status == APART
    # One or two retrained models do not say how far they are from each other.
    assert forgetting(section_of(half=0.1, after=apart, n_retrained=2), NO_BUDGET).status == APART


def test_rows_of_a_language_model_that_can_still_be_told_apart_are_named():
    still = section_of(language=language((6.5, 6.5, 6.5), (0.99, 0.8, 0.5)))
    found = forgetting(still, NO_BUDGET)
    assert found.status == APART
    assert "told from unseen rows with an AUC of 0.80 (retrained models: 0.50)" in found.reasons[0]


def test_traces_are_named_beside_figures_that_agree():
    u_lira = {"auc": 0.7, "auc_low": 0.65, "auc_high": 0.75}
    relearning = {"cap": 100, "steps": 2, "regained": True, "retrained_steps": 10.0, "retrained_regained": 3}
    found = forgetting(section_of(u_lira=u_lira, relearning=relearning), NO_BUDGET)
    assert found.status == ALIKE
    assert "U-LiRA still tells" in found.reasons[1]
    assert "in 2 steps, where retrained models take 10" in found.reasons[2]
    u_lira["auc_low"], relearning["steps"] = 0.45, 6
    assert len(forgetting(section_of(u_lira=u_lira, relearning=relearning), NO_BUDGET).reasons) == 1


def test_without_retrained_models_it_is_not_judged_and_the_way_to_it_is_said():
    found = forgetting(section_of(n_retrained=0, after={"RA": 0.95}), NO_BUDGET)
    assert found.status == UNKNOWN
    assert "is not known" in found.reasons[-1]
    assert "--unlearning.retrains 3" in found.next_steps[0]
