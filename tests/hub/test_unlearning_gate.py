"""The gate can demand unlearning, and hold its gap to retraining against a budget."""

from __future__ import annotations

import json

import pytest

from hf_privacy.errors import InputError
from hf_privacy.hub import GateError, check_gate
from hf_privacy.reports import plan_push


def unlearning(*, gap: float | None = 0.02) -> dict:

    def figures() -> list[dict]:
        return [{"name": name, "value": 0.5, "low": 0.4, "high": 0.6, "n_examples": 40} for name in FIGURES]

    share = {"value": 0.0, "low": 0.0, "high": 0.1}
    judged = gap is not None
    return {
        "request": {
            "kind": "label", "n_requests": 1, "n_forget": 40, "n_retain": 360, "n_heldout": 100, "n_test": 400,
        },
        "method": {"name": "salun", "parameters": {"learning_rate": 0.001}, "paper": None},
        "after_edit": None,
        "n_retrained": 3 if judged else 0,
        "figures": {"before": figures(), "after": figures(), "retrained": figures() if judged else None},
        "gap": {
            "average": gap, "in_retrain_noise": 1.4, "retrain_against_retrain": 0.01,
            "figures": [{"name": name, "gap": 0.0, "in_retrain_noise": None} for name in FIGURES],
        } if judged else None,
        "retain_harm": {"newly_wrong": share, "newly_right": share, "mean_loss_before": 0.1, "mean_loss_after": 0.1},
        "forget_loss": None,
        "relearning": None,
        "u_lira": None,
        "cost": {
            "scoring_seconds": 1.0, "shadows_seconds": 0.0, "training_seconds": 1.0, "total_seconds": 2.0,
            "retrain_seconds": None, "share_of_retrain": None, "share_with_shadows": None,
        },
    }  # fmt: skip


FIGURES = ("UA", "RA", "TA", "MIA")


@pytest.fixture
def make(make_folder):
    def make(section):
        folder = make_folder()
        file = folder / "privacy_report.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "unlearning": section}))
        return folder

    return make


def test_an_unlearned_model_within_its_gap_passes(make):
    assert check_gate(make(unlearning()), max_unlearning_gap=0.02, require_unlearning=True) is not None


def test_a_gap_over_the_budget_is_refused_with_the_figure(make):
    with pytest.raises(GateError, match=r"max_unlearning_gap 0\.012 and salun is 0\.02 from retraining"):
        check_gate(make(unlearning()), max_unlearning_gap=0.012)


def test_an_unlearning_that_nothing_was_retrained_for_cannot_keep_a_gap(make):
    folder = make(unlearning(gap=None))
    check_gate(folder, require_unlearning=True)
    with pytest.raises(GateError, match="no model was retrained to compare with"):
        check_gate(folder, max_unlearning_gap=0.5)


@pytest.mark.parametrize("demand", [{"require_unlearning": True}, {"max_unlearning_gap": 0.5}])
def test_a_report_without_unlearning_is_refused_where_it_is_demanded(demand, make):
    folder = make(None)
    check_gate(folder)
    with pytest.raises(GateError, match="says nothing of unlearning"):
        plan_push(folder, "ann/digits", **demand)


def test_a_model_that_lost_what_was_to_be_kept_is_refused_with_the_figure(make):
    folder = make(changed(figures__after__1__value=0.44))
    check_gate(folder)
    check_gate(folder, max_retained_loss=0.1)
    with pytest.raises(GateError, match=r"max_retained_loss 0\.02 and salun lost 0\.06 of what was to be kept"):
        check_gate(folder, max_retained_loss=0.02)
    with pytest.raises(GateError, match="the report has no perplexity: set max_retained_loss"):
        check_gate(folder, max_perplexity_rise=0.05)


def test_a_perplexity_that_rose_is_refused_with_the_figure(make):
    def sets(retained):
        return [
            {
                "name": name,
                "loss": 1.0,
                "perplexity": retained,
                "low": None,
                "high": None,
                "n_examples": 9,
                "n_tokens": 90,
            }
            for name in ("forget", "retain", "test")
        ]

    told = {"attack": "loss", "auc": 0.5, "auc_low": 0.4, "auc_high": 0.6}
    told["tpr_at_fpr"] = [{"fpr": 0.1, "tpr": 0.1, "low": 0.0, "high": 0.2}]
    stages = ("before", "after", "retrained")
    language = {"sets": dict(zip(stages, map(sets, (6.0, 9.0, 6.0)), strict=True))}
    section = {**unlearning(), "language": language | {"membership": dict.fromkeys(stages, told)}}
    folder = make(section)
    check_gate(folder, max_perplexity_rise=0.6)
    with pytest.raises(GateError, match=r"max_perplexity_rise 0\.05 and salun raised the perplexity .* by 0\.5"):
        check_gate(folder, max_perplexity_rise=0.05)
    with pytest.raises(InputError, match=r"max_perplexity_rise is -1"):
        check_gate(folder, max_perplexity_rise=-1)


def test_a_budget_in_points_is_refused(make):
    with pytest.raises(InputError, match=r"max_unlearning_gap is 1\.2: pass a number in"):
        check_gate(make(unlearning()), max_unlearning_gap=1.2)


def changed(**parts) -> dict:
    section = unlearning()
    for path, value in parts.items():
        *parents, leaf = path.split("__")
        place = section
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place[parent]
        place[leaf] = value
    return section


@pytest.mark.parametrize(
    ("section", "path"),
    [
        (changed(rows=[1, 2]), r"\$\.unlearning"),
        (changed(request__kind="name"), r"\$\.unlearning\.request\.kind"),
        (changed(request__ids=["a"]), r"\$\.unlearning\.request"),
        (changed(figures__after__0__value=0.9), r"\$\.unlearning\.figures\.after\[0\]"),
        (changed(figures__before__1__name="UA"), r"\$\.unlearning\.figures\.before"),
        (changed(n_retrained=0), r"\$\.unlearning\.gap"),
        (changed(gap__average=float("nan")), "NaN is not a JSON number"),
        (changed(cost__total_seconds=-1.0), r"\$\.unlearning\.cost\.total_seconds"),
    ],
)
def test_a_section_that_contradicts_itself_or_lists_examples_is_not_valid(section, path, make):
    with pytest.raises(GateError, match=path):
        check_gate(make(section))
