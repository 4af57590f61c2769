"""Every attack on models that leak nothing, with a population and without: AUC one half, TPR not above the FPR.

The pool is small on purpose: what an attack gains from knowing who was a member, and not from the model, fades as one
over its size. RMIA is made at several γ, and all attacks also on rounded answers, where scores tie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from headline import tables

from hf_privacy.auditing.scores import attack_scores
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.statistics import auc, tpr_at_fpr

N_POOL, N_POPULATION, N_REFERENCES = 80, 40, 4
GAMMAS = (0.5, 2.0)
FPR = 0.1
DECIMALS = {"as they are": None, "rounded to one decimal": 1}


def all_scores(table: SignalTable, *, with_features: bool, seed: int) -> Iterator[tuple[str, AttackScores]]:
    """Every attack, by what to call it."""
    for attack in attack_scores(table):
        yield attack.title, attack
    for gamma in GAMMAS:
        for attack in attack_scores(table, ("rmia", "rmia_offline"), gamma=gamma):
            yield f"{attack.title}, γ = {gamma:g}", attack
    if with_features:
        features = np.random.default_rng(seed).normal(size=(table.target["phi"].shape[-1], 2))
        table = replace(table, extras={"features": features})
        for attack in attack_scores(table, ["quantile_regression"], seed=seed):
            yield "Quantile regression", attack


def rounded(table: SignalTable, decimals: int) -> SignalTable:
    """The table with answers that tie."""
    target, references = (
        {name: np.round(values, decimals) for name, values in signals.items()}
        for signals in (table.target, table.references or {})
    )
    return replace(table, target=target, references=references)


def measure(*, n_runs: int = 500, n_with_features: int = 50) -> dict[str, Any]:
    """Mean AUC and TPR over runs; the quantile regression, which is slow, on the first of them."""
    rows = []
    for n_population in (N_POPULATION, 0):
        for answers, decimals in DECIMALS.items():
            found: dict[str, list[tuple[float, float]]] = {}
            for seed in range(n_runs):
                (table,) = tables(
                    n_pool=N_POOL, n_references=N_REFERENCES, n_population=n_population, effect=0.0, seed=seed,
                    adversarial=False, curvature=False,
                )  # fmt: skip
                table = table if decimals is None else rounded(table, decimals)
                for title, attack in all_scores(table, with_features=seed < n_with_features, seed=seed):
                    tpr = tpr_at_fpr(attack.scores, table.membership, fpr=FPR)["tpr"]
                    found.setdefault(title, []).append((auc(attack.scores, table.membership), tpr))
            for title, runs in found.items():
                areas, rates = np.array(runs).T
                rows.append({
                    "attack": title, "population": n_population, "answers": answers, "runs": len(runs),
                    "mean_auc": float(areas.mean()),
                    "standard_error": float(areas.std(ddof=1) / np.sqrt(len(runs))),
                    "mean_tpr": float(rates.mean()),
                    "tpr_standard_error": float(rates.std(ddof=1) / np.sqrt(len(runs))),
                })  # fmt: skip
    return {"n_pool": N_POOL, "n_references": N_REFERENCES, "fpr": FPR, "rows": rows}


def tables_in_markdown(result: dict[str, Any]) -> str:
    """The result as Markdown: mean and standard error of the AUC, and the mean TPR."""
    settings = list(dict.fromkeys((row["population"], row["answers"]) for row in result["rows"]))
    heads = [f"{'population' if population else 'no population'}, {answers}" for population, answers in settings]
    lines = [f"| Attack | {' | '.join(heads)} |", "|---" * (len(settings) + 1) + "|"]
    for title in dict.fromkeys(row["attack"] for row in result["rows"]):
        rows = {(row["population"], row["answers"]): row for row in result["rows"] if row["attack"] == title}
        cells = [
            f"{row['mean_auc']:.3f} ± {row['standard_error']:.3f}; {100 * row['mean_tpr']:.1f} %"
            for row in (rows[setting] for setting in settings)
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)
