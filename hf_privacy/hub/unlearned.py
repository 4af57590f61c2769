"""What a report's section on unlearning comes to: whether it forgot as retraining does, and what that cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hf_privacy.gate_fields import GateFields
from hf_privacy.hub.headline import percent

# Bounds where no budget names others. What was to be kept: how much less of it may be right than after retraining, and
# by how much its perplexity may be higher; what was to be forgotten: how far its figures may be from retraining's.
RETAINED_LOSS = 0.02
PERPLEXITY_RISE = 0.05
FORGET_GAP = 0.05
# Fewer retrained models than these say too little of how far they are from each other.
_ENOUGH_RETRAINED = 3
# A model that learns the forget set again in fewer than this share of the steps has kept something of it.
_RELEARNT_SOONER = 0.5

BROKEN, APART, ALIKE, UNKNOWN = "broke what was to be kept", "not as retraining", "as retraining", "not judged"


@dataclass(frozen=True)
class Forgetting:
    """What unlearning reached and cost.

    Attributes
    ----------
    status : str
        "broke what was to be kept", "not as retraining", "as retraining", or "not judged": nothing was retrained.
    reasons : tuple of str
        Why, a sentence each.
    next_steps : tuple of str
        What to do now.
    """

    status: str
    reasons: tuple[str, ...]
    next_steps: tuple[str, ...]


def forgetting(section: Mapping[str, Any], settings: GateFields) -> Forgetting:
    """Judge a report's ``unlearning``.

    What was to be kept is broken where less of it is right than after retraining, or its perplexity is higher, by more
    than the budget's ``max_retained_loss`` and ``max_perplexity_rise``, or 2 points and 5 %; without retrained models
    the model before unlearning is the measure. The forget set is another than after retraining where UA, MIA efficacy
    or, of language models, the AUC of the attack on it is further off than ``max_unlearning_gap``, or 5 points, and
    outside the interval of the retrained models, where these are 3 or more.

    Parameters
    ----------
    section : mapping
        As the report's schema has it.
    settings : GateFields
        The budget; what is None there has the bounds of this module.

    Returns
    -------
    Forgetting
    """
    broken = [*_less_right(section, settings), *_more_perplexed(section, settings)]
    less, more = _differences(section, settings)
    if broken:
        status = BROKEN
    elif less or more:
        status = APART
    else:
        status = ALIKE if section["n_retrained"] else UNKNOWN
    return Forgetting(
        status=status,
        reasons=(*broken, *_reached(section, less, more), *_traces(section)),
        next_steps=tuple(_next_steps(section, bool(broken), bool(less))),
    )


def retained_loss(section: Mapping[str, Any]) -> float:
    """How much less of what was kept is right than after retraining, or than before where nothing was retrained.

    Examples
    --------
    >>> right = lambda share: [{"name": "RA", "value": share}]
    >>> figures = {"before": right(0.95), "after": right(0.81), "retrained": right(0.94)}
    >>> round(retained_loss({"figures": figures}), 2)
    0.13
    """
    figures = section["figures"]
    return _value(figures["retrained"] or figures["before"], "RA") - _value(figures["after"], "RA")


def perplexity_rise(section: Mapping[str, Any]) -> float | None:
    """By what share the perplexity of what was kept is higher than after retraining, or than before; None of classes.

    Examples
    --------
    >>> kept = lambda perplexity: [{"name": "retain", "perplexity": perplexity}]
    >>> sets = {"before": kept(6.0), "after": kept(9.0), "retrained": None}
    >>> perplexity_rise({"language": {"sets": sets}})
    0.5
    """
    language = section.get("language")
    if language is None:
        return None
    sets = language["sets"]
    return _perplexity(sets["after"]) / _perplexity(sets["retrained"] or sets["before"]) - 1.0


def _less_right(section: Mapping[str, Any], settings: GateFields) -> Iterator[str]:
    bound = RETAINED_LOSS if settings.max_retained_loss is None else settings.max_retained_loss
    if retained_loss(section) <= bound:
        return
    figures = section["figures"]
    before, after = _value(figures["before"], "RA"), _value(figures["after"], "RA")
    what = "tokens" if section.get("language") is not None else "examples"
    beside = ""
    if figures["retrained"] is not None:
        beside = f"; retrained models have {percent(_value(figures['retrained'], 'RA'))}"
    change = f"{100 * abs(before - after):.1f} points {'less' if before >= after else 'more'}"
    yield (
        f"Forgetting broke what was to be kept: of the retained {what} the model had {percent(before)} right and now "
        f"has {percent(after)} ({change}{beside}; up to {100 * bound:g} are borne)."
    )


def _more_perplexed(section: Mapping[str, Any], settings: GateFields) -> Iterator[str]:
    bound = PERPLEXITY_RISE if settings.max_perplexity_rise is None else settings.max_perplexity_rise
    rise = perplexity_rise(section)
    if rise is None or rise <= bound:
        return
    sets = section["language"]["sets"]
    before, after = _perplexity(sets["before"]), _perplexity(sets["after"])
    whose = (
        "than before"
        if sets["retrained"] is None
        else f"than in retrained models, {_perplexity(sets['retrained']):.4g}"
    )
    yield (
        f"Forgetting broke what was to be kept: the perplexity of the retained rows was {before:.4g} and now is "
        f"{after:.4g} ({percent(rise)} higher {whose}; up to {percent(bound)} are borne)."
    )


def _differences(section: Mapping[str, Any], settings: GateFields) -> tuple[list[str], list[str]]:
    """Where the forget set looks less forgotten than after retraining, and where more."""
    less: list[str] = []
    more: list[str] = []
    if not section["n_retrained"]:
        return less, more
    bound = FORGET_GAP if settings.max_unlearning_gap is None else settings.max_unlearning_gap
    what = (
        "of its tokens the model has {} wrong"
        if section.get("language") is not None
        else "the model has {} of it wrong"
    )
    texts = {"UA": what, "MIA": "an attack takes {} of it for unseen"}
    for name, text in texts.items():
        after, should = (_named(section["figures"][stage], name) for stage in ("after", "retrained"))
        said = f"{text.format(percent(after['value']))} (retrained models: {percent(should['value'])})"
        if _is_apart(after["value"], should, section["n_retrained"], bound):
            (less if after["value"] < should["value"] else more).append(said)
    if section.get("language") is not None:
        stages = section["language"]["membership"]
        after, should = (
            {"value": stages[stage]["auc"], "low": stages[stage]["auc_low"], "high": stages[stage]["auc_high"]}
            for stage in ("after", "retrained")
        )
        said = f"it is told from unseen rows with an AUC of {after['value']:.2f}"
        said += f" (retrained models: {should['value']:.2f})"
        if _is_apart(after["value"], should, section["n_retrained"], bound):
            (less if after["value"] > should["value"] else more).append(said)
    return less, more


def _is_apart(value: float, should: Mapping[str, Any], n_retrained: int, bound: float) -> bool:
    if abs(value - should["value"]) <= bound:
        return False
    known = n_retrained >= _ENOUGH_RETRAINED and should["low"] is not None and should["high"] is not None
    return not (known and should["low"] <= value <= should["high"])


def _reached(section: Mapping[str, Any], less: list[str], more: list[str]) -> Iterator[str]:
    if less:
        yield f"Forgetting did not reach what retraining would of the forget set: {', and '.join(less)}."
    if more:
        yield (f"Forgetting went beyond retraining, which shows as well: of the forget set {', and '.join(more)}.")
    if less or more:
        return
    figures = section["figures"]
    tokens = "tokens of the " if section.get("language") is not None else ""
    parts = []
    for name, text in (
        ("UA", f"of the {tokens}forget set {{}} is wrong"),
        ("RA", "of what was to be kept {} is right"),
    ):
        beside = ""
        if figures["retrained"] is not None:
            beside = f" (retrained models: {percent(_value(figures['retrained'], name))})"
        parts.append(text.format(percent(_value(figures["after"], name))) + beside)
    yield f"O{', '.join(parts)[1:]}."
    if figures["retrained"] is None:
        yield "No model was retrained without the forget set, so what it should have is not known."


def _traces(section: Mapping[str, Any]) -> Iterator[str]:
    found = section.get("u_lira")
    if found is not None and found["auc_low"] > 0.5:
        yield f"U-LiRA still tells what was forgotten from what was never seen (AUC {found['auc']:.2f})."
    again = section.get("relearning")
    if again is None or not again["regained"] or again["retrained_steps"] is None:
        return
    if again["steps"] < _RELEARNT_SOONER * again["retrained_steps"]:
        yield (
            f"The forget set is learnt again in {again['steps']} steps, where retrained models take "
            f"{again['retrained_steps']:.3g}: something of it was kept."
        )


def _next_steps(section: Mapping[str, Any], broken: bool, less: bool) -> Iterator[str]:
    if broken and less:
        yield "Unlearn again by another method, or retrain without the rows (`unlearning: {method: retrain}`)."
    elif broken:
        yield (
            "Unlearn again with a smaller learning rate, fewer epochs or another method, or retrain without the rows: "
            "the model before unlearning is where it was."
        )
    elif less:
        yield (
            "Unlearn again with more epochs, a larger learning rate or another method, or retrain without the rows "
            "(`unlearning: {method: retrain}`)."
        )
    if not section["n_retrained"]:
        yield "Let retrained models judge what was forgotten: `hf-privacy unlearn --unlearning.retrains 3`."


def _named(figures: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(figure for figure in figures if figure["name"] == name)


def _value(figures: list[dict[str, Any]], name: str) -> float:
    return float(_named(figures, name)["value"])


def _perplexity(sets: list[dict[str, Any]]) -> float:
    return float(_named(sets, "retain")["perplexity"])
