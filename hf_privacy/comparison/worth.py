"""What a model is worth to its user in a comparison: accuracy, or of a language model perplexity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hf_privacy.comparison.figures import Figure, gap, minus, over_seeds, over_targets

_ANY = (-math.inf, math.inf)


@dataclass(frozen=True)
class Worth:
    """One measure of worth, on non-members.

    Attributes
    ----------
    name : str
        Key of a row, and with a side before it of a report's ``utility``.
    title, axis : str
        Of its column, and of its axis.
    gap : str
        Title of the column of what members have ahead of non-members.
    better : str
        Where on the axis the better models stand: "right" or "left".
    within, gap_within : (float, float)
        Where it and the gap can lie.
    """

    name: str
    title: str
    axis: str
    gap: str
    better: str
    within: tuple[float, float]
    gap_within: tuple[float, float]

    @property
    def is_rate(self) -> bool:
        """Whether it is a share, written in percent; else an amount, drawn by its logarithm."""
        return self.within == (0.0, 1.0)

    @property
    def differences_within(self) -> tuple[float, float]:
        """Where the difference of two models' can lie."""
        return (-1.0, 1.0) if self.is_rate else _ANY


ACCURACY = Worth("accuracy", "Accuracy", "accuracy on non-members", "Train–test gap", "right", (0.0, 1.0), (-1.0, 1.0))
PERPLEXITY = Worth(
    "perplexity", "Perplexity", "perplexity on non-members", "Loss gap [nats]", "left", (1.0, math.inf), _ANY
)


def worth_of(table: dict[str, Any]) -> Worth:
    """Give the measure that a comparison's table has.

    Examples
    --------
    >>> worth_of({}).name, worth_of({"worth": "perplexity"}).better
    ('accuracy', 'left')
    """
    return PERPLEXITY if table.get("worth") == PERPLEXITY.name else ACCURACY


def measured_by(report: dict[str, Any]) -> Worth:
    """Give the measure that a report has."""
    return PERPLEXITY if "nonmember_perplexity" in report["utility"] else ACCURACY


def worth_over_seeds(reports: Sequence[dict[str, Any]], worth: Worth, confidence: float) -> dict[str, Figure | None]:
    """Give ``name`` and ``member_name`` of one report a seed; see `gap_of` for the gap."""
    return {
        key: over_seeds(
            [report["utility"][f"{side}_{worth.name}"]["value"] for report in reports],
            confidence,
            within=worth.within,
        )
        for key, side in _keys(worth)
    }


def worth_over_targets(targets: dict[str, Any], worth: Worth) -> dict[str, Figure | None]:
    """Give the same of one report, over its targets."""
    return {key: over_targets(targets[f"{side}_{worth.name}"]) for key, side in _keys(worth)}


def gap_of(
    figures: dict[str, Any], reports: Sequence[dict[str, Any]], worth: Worth, confidence: float, *, by_targets: bool
) -> Figure | None:
    """Give how much better members fare: in accuracy, or in nats a token."""
    if worth is ACCURACY:
        return gap(figures["member_accuracy"], figures["accuracy"], confidence)
    if by_targets:
        others, members = (over_targets(reports[0]["targets"][f"{side}_loss"]) for side in ("nonmember", "member"))
        return minus(others, members, confidence, within=_ANY)
    differences = [report["utility"]["nonmember_loss"] - report["utility"]["member_loss"] for report in reports]
    return over_seeds(differences, confidence, within=_ANY)


def _keys(worth: Worth) -> list[tuple[str, str]]:
    return [(worth.name, "nonmember"), (f"member_{worth.name}", "member")]
