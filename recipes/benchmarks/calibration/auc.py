"""The interval of the AUC: coverage from one half to 0.9999, for few examples and many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from hf_privacy.statistics import auc_interval

AREAS = [0.5, 0.9, 0.97, 0.99, 0.9993, 0.9999]
# Members, non-members, runs.
SIZES = [(50, 50, 2000), (200, 200, 2000), (50, 1000, 1000), (1000, 1000, 1500), (2500, 2500, 1000)]

Sides = tuple[np.ndarray, np.ndarray]


def normal(spread: float) -> Callable[[np.random.Generator, float, int, int], Sides]:
    """Normal scores; those of members with another spread."""

    def draw(rng: np.random.Generator, area: float, n_members: int, n_nonmembers: int) -> Sides:
        shift = norm.ppf(area) * np.hypot(1.0, spread)
        return rng.normal(shift, spread, n_members), rng.normal(size=n_nonmembers)

    return draw


def exponential(rng: np.random.Generator, area: float, n_members: int, n_nonmembers: int) -> Sides:
    """Exponential scores of two scales."""
    return area / (1.0 - area) * rng.exponential(size=n_members), rng.exponential(size=n_nonmembers)


def some_members_alike(rng: np.random.Generator, area: float, n_members: int, n_nonmembers: int) -> Sides:
    """Members that all stand apart, but for some that are like non-members."""
    apart = rng.random(n_members) > 2.0 * (1.0 - area)
    return rng.normal(size=n_members) + 100.0 * apart, rng.normal(size=n_nonmembers)


def some_nonmembers_alike(rng: np.random.Generator, area: float, n_members: int, n_nonmembers: int) -> Sides:
    """The mirror image."""
    members, nonmembers = some_members_alike(rng, area, n_nonmembers, n_members)
    return -nonmembers, -members


SHAPES = {
    "normal": normal(1.0),
    "normal, spread 2": normal(2.0),
    "exponential": exponential,
    "some members alike": some_members_alike,
    "some non-members alike": some_nonmembers_alike,
}


def delong(members: np.ndarray, nonmembers: np.ndarray) -> tuple[float, float]:
    """DeLong's interval on the logit scale alone, as version 0.1 had it; of a perfect attack as today."""
    if members.min() > nonmembers.max():
        return auc_interval(
            np.concatenate([members, nonmembers]), np.arange(len(members) + len(nonmembers)) < len(members)
        )
    ranks = rankdata(np.concatenate([members, nonmembers]))
    won = (ranks[: len(members)] - rankdata(members)) / len(nonmembers)
    lost = (ranks[len(members) :] - rankdata(nonmembers)) / len(members)
    area = won.mean()
    error = np.sqrt(won.var(ddof=1) / len(members) + lost.var(ddof=1) / len(nonmembers))
    reach = norm.isf(0.025) * error / (area * (1.0 - area))
    return float(expit(logit(area) - reach)), float(expit(logit(area) + reach))


def measure(*, seed: int = 0, sizes: list[tuple[int, int, int]] | None = None) -> dict[str, Any]:
    """Every shape at every area and size."""
    rng = np.random.default_rng(seed)
    rows = []
    for n_members, n_nonmembers, n_runs in sizes or SIZES:
        membership = np.arange(n_members + n_nonmembers) < n_members
        for area in AREAS:
            for name, draw in SHAPES.items():
                ends, before = np.empty((2, n_runs)), np.empty((2, n_runs))
                for run in range(n_runs):
                    sides = draw(rng, area, n_members, n_nonmembers)
                    ends[:, run] = auc_interval(np.concatenate(sides), membership)
                    before[:, run] = delong(*sides)
                rows.append({
                    "scores": name, "n_members": n_members, "n_nonmembers": n_nonmembers, "auc": area,
                    "n_runs": n_runs, "too_high": float(np.mean(ends[0] > area)),
                    "too_low": float(np.mean(ends[1] < area)),
                    "covers": float(np.mean((ends[0] <= area) & (area <= ends[1]))),
                    "delong_covers": float(np.mean((before[0] <= area) & (area <= before[1]))),
                    "median_width": float(np.median(ends[1] - ends[0])),
                    "delong_median_width": float(np.median(before[1] - before[0])),
                })  # fmt: skip
    return {"confidence": 0.95, "rows": rows}


def tables_in_markdown(result: dict[str, Any]) -> str:
    """Per size and area the least coverage over the shapes of scores, and the normal scores' width."""
    lines = [
        "| Members, others | AUC | Covers, least of five shapes | DeLong alone | Width, normal | DeLong alone |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    keys = dict.fromkeys((row["n_members"], row["n_nonmembers"], row["auc"]) for row in result["rows"])
    for key in keys:
        rows = [row for row in result["rows"] if (row["n_members"], row["n_nonmembers"], row["auc"]) == key]
        least, before = min(row["covers"] for row in rows), min(row["delong_covers"] for row in rows)
        lines.append(
            f"| {key[0]:,}, {key[1]:,} | {key[2]:g} | {100 * least:.1f} | {100 * before:.1f} "
            f"| {rows[0]['median_width']:.4f} | {rows[0]['delong_median_width']:.4f} |"
        )
    return "\n".join(lines)
