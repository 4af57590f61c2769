"""What a report says of a canary audit."""

from __future__ import annotations

import pytest

from hf_privacy.errors import InputError
from hf_privacy.reports import CardData, PrivacyReport, render_card, render_page, what_it_means

FOUND = {
    "n_canaries": 400,
    "n_inserted": 203,
    "n_guesses": [40, 100, 200],
    "kind": "mislabelled",
    "score": "phi",
    "auc": 0.834,
    "auc_low": 0.79,
    "auc_high": 0.87,
    "one_run": 2.21,
    "one_run_fdp": 3.22,
    "delta": 1e-5,
    "confidence": 0.95,
    "seconds": 12.5,
}


@pytest.fixture
def with_canaries(report_dict):
    def make(**changes) -> PrivacyReport:
        canaries = {**FOUND, **changes}
        lower = {"epsilon": canaries["one_run"], "delta": 1e-5, "confidence": 0.95, "method": "one-run audit"}
        report_dict.update(canaries=canaries, epsilon={"upper": None, "lower": lower})
        return PrivacyReport.from_dict(report_dict)

    return make


def test_the_bound_is_said_with_its_confidence_its_delta_and_what_it_speaks_of(with_canaries):
    (said,) = (sentence for sentence in what_it_means(with_canaries()) if "canaries" in sentence)
    assert said == (
        "A second model was trained with the same recipe on the members and 203 of 400 canaries (examples from "
        "outside the training set with a wrong label), each put in by a fair coin. Recognising them shows, at 95 % "
        "confidence, that ε is at least 2.21 at δ = 1e-05. This speaks of the training recipe on these data, not of "
        "this checkpoint, which never saw a canary."
    )


def test_a_bound_of_zero_is_not_said_to_prove_privacy(with_canaries):
    (said,) = (sentence for sentence in what_it_means(with_canaries(one_run=0.0)) if "canaries" in sentence)
    assert "shows no ε above 0 at δ = 1e-05 (95 % confidence), which proves nothing" in said


def test_page_card_and_table_show_it(with_canaries):
    report = with_canaries(kind="random")
    page = render_page(report, roc_png=b"", scores_png=b"")
    assert "<h3>Canaries</h3>" in page
    assert "400 random, 203" in page
    assert "0.834 [0.790, 0.870]" in page
    assert "3.22 at δ = 1e-05" in page
    assert "made-up examples with a random label" in render_card(report, CardData(model_name="digits"))
    assert report.table().splitlines()[-2].startswith("Canaries (400 random, 203 inserted into a second model")


WORDED = {
    "kind": "random_tokens",
    "ceiling": 4.436,
    "repetitions": 4,
    "exposure": {
        "inserted": 8.2,
        "inserted_median": 9.97,
        "left_out": 1.39,
        "ceiling": 9.966,
        "n_references": 1000,
        "extrapolated": None,
    },
}


def test_worded_ones_are_said_with_what_they_can_show_and_their_exposure(with_canaries):
    report = with_canaries(**WORDED)
    (said,) = (sentence for sentence in what_it_means(report) if "canaries" in sentence)
    assert "(texts that end in rare tokens drawn at random)" in said
    assert "each inserted one stood 4 times in the training set; the bound is brought back to one example" in said
    assert "can show at most ε = 4.44, were every guess right" in said
    assert "Mean exposure 8.2 bits where inserted and 1.39 where not, of at most 9.97 that 1,000 references" in said
    lines = report.table().splitlines()
    assert "so many guesses can show at most 4.44" in " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= 100
    page = render_page(report, roc_png=b"", scores_png=b"")
    for row in ("4 times", "8.2, 1.39", "9.97"):
        assert row in page


@pytest.mark.parametrize("name", ["secrets", "reference_loss", "coins"])
def test_a_secret_has_no_place_in_the_report(with_canaries, name):
    with pytest.raises(InputError, match=r"\$.canaries"):
        with_canaries(**WORDED, **{name: ["a b c"]})
    with pytest.raises(InputError, match=r"\$.canaries.exposure"):
        with_canaries(**{**WORDED, "exposure": {**WORDED["exposure"], name: [1.0]}})


def test_a_report_written_before_there_were_canaries_loads_and_says_nothing_of_them(report_dict):
    del report_dict["canaries"]
    report = PrivacyReport.from_dict(report_dict)
    assert report.canaries is None
    page = render_page(report, roc_png=b"", scores_png=b"")
    assert "anari" not in page + report.table() + render_card(report, CardData())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"auc": 0.9}, r"\$.canaries: auc is 0.9 but its interval is \[0.79, 0.87\]"),
        ({"n_inserted": 400}, r"\$.canaries.n_inserted: it is 400 of 400 canaries"),
        ({"one_run": -0.1}, r"\$.(canaries|epsilon)"),
        ({"coins": [True, False]}, r"\$.canaries: .*'coins' was unexpected"),
        ({"n_guesses": list(range(1, 201))}, r"\$.canaries.n_guesses"),
        ({"kind": "worded"}, r"\$.canaries"),
    ],
)
def test_a_report_that_cannot_be_or_holds_more_than_aggregates_is_refused(with_canaries, changes, message):
    with pytest.raises(InputError, match=message):
        with_canaries(**changes)
