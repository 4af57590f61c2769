"""The canary audit: a lower bound on ε of the training recipe, from a second model."""

from __future__ import annotations

from typing import Any

from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import AUC, listed, nullable, one_of, record
from hf_privacy.reports.words import area, duration, percent, value_text, wrapped

_KINDS = {
    "mislabelled": "examples from outside the training set with a wrong label",
    "random": "made-up examples with a random label",
    "random_tokens": "texts that end in rare tokens drawn at random",
    "suffix": "texts whose second half is of tokens drawn at random",
    "new_last_token": "texts whose last token is new, one for each",
}
FIELDS = {
    "canaries": nullable(
        record(
            f"n_canaries positive_count, n_inserted positive_count, score text, {AUC}, one_run amount, "
            "one_run_fdp amount, delta open_unit, confidence open_unit, seconds optional_amount, ceiling amount, "
            "repetitions positive_count",
            optional="ceiling repetitions exposure",
            n_guesses=listed("positive_count", least=1, most=64),
            kind=one_of(*_KINDS),
            exposure=record(
                "inserted amount, inserted_median amount, left_out amount, ceiling amount, "
                "n_references positive_count, extrapolated optional_amount",
                description="Bits, means over canaries; ceiling is log2 of n_references.",
            ),
            description="Lower bounds of ε from canaries put in by fair coins, and how well they are told apart; "
            "one_run_fdp takes the trade-off curve for Gaussian.",
        ),
        "The canary audit behind epsilon.lower: of the training recipe, by a second model.",
    )
}


def canaries_line(canaries: dict[str, Any], upper: dict[str, Any] | None) -> str:
    """Say what the canaries showed of ε, beside the accountant's bound, in lines of at most 100 columns.

    Examples
    --------
    >>> found = {"n_canaries": 400, "n_inserted": 203, "kind": "mislabelled", "one_run": 1.234, "delta": 1e-5,
    ...          "confidence": 0.95, "auc": 0.8, "auc_low": 0.76, "auc_high": 0.84}
    >>> print(canaries_line(found, None))
    Canaries (400 mislabelled, 203 inserted into a second model of the recipe): ε ≥ 1.23 at δ = 1e-05,
      95 % confidence; AUC 0.800 [0.760, 0.840]; no guarantee
    """
    guarantee = (
        "no guarantee" if upper is None else f"guaranteed ε ≤ {upper['epsilon']:.3g} at δ = {upper['delta']:.3g}"
    )
    times = f" {canaries['repetitions']:,} times" if canaries.get("repetitions", 1) > 1 else ""
    text = (
        f"Canaries ({canaries['n_canaries']:,} {canaries['kind']}, {canaries['n_inserted']:,} inserted{times} into a "
        f"second model of the recipe): ε ≥ {canaries['one_run']:.3g} at δ = {canaries['delta']:.3g}, "
        f"{percent(canaries['confidence'])} confidence; AUC {area(canaries)}; {guarantee}"
    )
    if "ceiling" in canaries:
        text += f"; so many guesses can show at most {canaries['ceiling']:.3g}"
    if "exposure" in canaries:
        text += f"; {_exposure_words(canaries['exposure'])}"
    return "\n".join(wrapped(text))


def _exposure_words(exposure: dict[str, Any]) -> str:
    return (
        f"mean exposure {exposure['inserted']:.3g} bits where inserted and {exposure['left_out']:.3g} where not, of "
        f"at most {exposure['ceiling']:.3g} that {exposure['n_references']:,} references can show"
    )


def lines(report: Report) -> str | None:
    return None if report.canaries is None else canaries_line(report.canaries, report.epsilon["upper"])


def facts(report: Report) -> list[tuple[str, str]]:
    canaries = report.canaries
    if canaries is None:
        return []
    more = []
    if canaries.get("repetitions", 1) > 1:
        more.append(("Each inserted", f"{canaries['repetitions']:,} times"))
    if "ceiling" in canaries:
        more.append(("ε that so many guesses can show", f"{canaries['ceiling']:.3g}"))
    if "exposure" in canaries:
        exposure = canaries["exposure"]
        more.append(("Exposure, bits: inserted, left out", f"{exposure['inserted']:.3g}, {exposure['left_out']:.3g}"))
        more.append(("Exposure's ceiling, bits", f"{exposure['ceiling']:.3g}"))
        more.append(("Exposure by extrapolation, bits", value_text(exposure["extrapolated"])))
    return [
        ("Canaries, inserted", f"{canaries['n_canaries']:,} {canaries['kind']}, {canaries['n_inserted']:,}"),
        ("Guesses", f"{value_text(canaries['n_guesses'])}, by {canaries['score']}"),
        ("AUC", area(canaries)),
        ("ε at least, for any training", f"{canaries['one_run']:.3g} at δ = {canaries['delta']:.3g}"),
        ("ε at least, were it Gaussian (f-DP)", f"{canaries['one_run_fdp']:.3g} at δ = {canaries['delta']:.3g}"),
        *more,
        ("Training and scoring", duration(canaries["seconds"])),
    ]


def meaning(report: Report) -> list[str]:
    canaries = report.canaries
    if canaries is None:
        return []
    confidence, delta = percent(canaries["confidence"]), f"δ = {canaries['delta']:.3g}"
    found = (
        f"Recognising them shows, at {confidence} confidence, that ε is at least {canaries['one_run']:.3g} at {delta}"
        if canaries["one_run"] > 0
        else f"Recognising them shows no ε above 0 at {delta} ({confidence} confidence), which proves nothing"
    )
    if canaries.get("repetitions", 1) > 1:
        found += (
            f" (each inserted one stood {canaries['repetitions']:,} times in the training set; the bound is brought "
            "back to one example)"
        )
    more = ""
    if "ceiling" in canaries:
        more = f" So many canaries and guesses can show at most ε = {canaries['ceiling']:.3g}, were every guess right."
    if "exposure" in canaries:
        said = _exposure_words(canaries["exposure"])
        more += f" {said[0].upper()}{said[1:]}; a secret that was not trained on has about 1.4 on average."
    return [
        f"A second model was trained with the same recipe on the members and {canaries['n_inserted']:,} of "
        f"{canaries['n_canaries']:,} canaries ({_KINDS[canaries['kind']]}), each put in by a fair coin. {found}. This "
        f"speaks of the training recipe on these data, not of this checkpoint, which never saw a canary.{more}"
    ]
