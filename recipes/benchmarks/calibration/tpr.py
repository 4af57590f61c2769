"""The interval of the TPR at an FPR: coverage in either tail, and what the conditional one covers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import norm

from hf_privacy.statistics import tpr_at_fpr

Draw = Callable[[np.random.Generator, int, bool], np.ndarray]
# Members, non-members, FPR.
SIZES = [(1000, 1000, 0.01), (2500, 2500, 0.001), (5000, 5000, 0.001), (300, 300, 0.05), (500, 5000, 0.01)]


def shifted(shift: float, spread: float = 1.0) -> tuple[Draw, Callable[[float], float]]:
    """Normal scores, and their TPR at an FPR."""
    return (
        lambda rng, n, member: rng.normal(shift, spread, n) if member else rng.normal(size=n),
        lambda fpr: float(norm.sf((norm.isf(fpr) - shift) / spread)),
    )


def exposed_few(share: float, shift: float) -> tuple[Draw, Callable[[float], float]]:
    """A small share of the members far up, the others like non-members."""
    return (
        lambda rng, n, member: rng.normal(size=n) + (shift * (rng.random(n) < share) if member else 0.0),
        lambda fpr: float((1 - share) * fpr + share * norm.sf(norm.isf(fpr) - shift)),
    )


def rounded(shift: float, step: float) -> tuple[Draw, Callable[[float], float]]:
    """Normal scores in steps: ties, and a TPR at the lowest step whose FPR is not above the target."""

    def truth(fpr: float) -> float:
        lowest = np.ceil((norm.isf(fpr) + step / 2) / step) * step
        return float(norm.sf(lowest - step / 2 - shift))

    return (lambda rng, n, member: np.round(rng.normal(shift if member else 0.0, 1.0, n) / step) * step), truth


CASES = {
    "normal, shift 0": shifted(0.0),
    "normal, shift 1": shifted(1.0),
    "normal, shift 2": shifted(2.0),
    "normal, shift 4": shifted(4.0),
    "normal, shift 0.5, spread 2": shifted(0.5, 2.0),
    "one in twenty far up": exposed_few(0.05, 6.0),
    "normal, shift 1, steps of 0.5": rounded(1.0, 0.5),
}


def one_case(
    draw: Draw, truth: float, n_members: int, n_nonmembers: int, fpr: float, n_runs: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Shares of the runs that miss the truth, and means over them."""
    membership = np.arange(n_members + n_nonmembers) < n_members
    rates = [
        tpr_at_fpr(np.concatenate([draw(rng, n_members, True), draw(rng, n_nonmembers, False)]), membership, fpr=fpr)
        for _ in range(n_runs)
    ]
    low, high, tpr, given_low, given_high = (
        np.array([rate[name] for rate in rates])
        for name in ("low", "high", "tpr", "conditional_low", "conditional_high")
    )
    return {
        "truth": truth,
        "mean_tpr": float(tpr.mean()),
        "too_high": float(np.mean(low > truth)),
        "too_low": float(np.mean(high < truth)),
        "covers": float(np.mean((low <= truth) & (truth <= high))),
        "conditional_covers": float(np.mean((given_low <= truth) & (truth <= given_high))),
        "mean_low": float(low.mean()),
        "mean_high": float(high.mean()),
    }


def measure(*, n_runs: int = 2000, seed: int = 0) -> dict[str, Any]:
    """Every case at every size."""
    rng = np.random.default_rng(seed)
    rows = []
    for n_members, n_nonmembers, fpr in SIZES:
        for name, (draw, truth_at) in CASES.items():
            found = one_case(draw, truth_at(fpr), n_members, n_nonmembers, fpr, n_runs, rng)
            rows.append({"case": name, "n_members": n_members, "n_nonmembers": n_nonmembers, "fpr": fpr, **found})
    return {"n_runs": n_runs, "confidence": 0.95, "rows": rows}


def tables_in_markdown(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| Members, non-members, FPR | Scores | TPR at that FPR | Mean measured | Mean interval | Covers | Above it "
        "| Below it | Given the threshold |",
        "|---|---|---:|---:|---|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['n_members']:,}, {row['n_nonmembers']:,}, {100 * row['fpr']:g} % | {row['case']} "
            f"| {100 * row['truth']:.2f} | {100 * row['mean_tpr']:.2f} "
            f"| [{100 * row['mean_low']:.1f}, {100 * row['mean_high']:.1f}] | {100 * row['covers']:.1f} "
            f"| {100 * row['too_high']:.1f} | {100 * row['too_low']:.1f} | {100 * row['conditional_covers']:.1f} |"
        )
    return "\n".join(lines)
