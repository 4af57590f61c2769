"""The headline: how often does an audit claim leakage where there is none, for the best of all its attacks?

Signals of a target and its reference models are simulated without leakage: an example's own easiness and chance, and
nothing that depends on who was a member. All attacks of an audit are made on them, those on adversarial inputs and
those that read the curvature included, and the report's evidence section says whether the sentence would claim that
any does better than guessing: by rights in 2.5 % of audits, the level of one end of a 95 % interval. Beside it stand
the claim of version 0.1 (the interval, given the threshold, of the largest TPR at 1 % lies above 1 %) and how often
any interval of all those in the table does. The same with leakage says what the test finds.

Run: python recipes/benchmarks/calibration/run.py --parts headline
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import expit, log_expit

from hf_privacy.attacks import blind_baseline
from hf_privacy.auditing.attack import attack_all
from hf_privacy.auditing.table import SignalTable
from hf_privacy.recipe import AuditSettings
from hf_privacy.references import plan_references
from hf_privacy.statistics import auc_interval, clopper_pearson, roc_counts

N_REFERENCES = 8
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"n_references": 0, "n_population": 300},
    "full": {"n_references": N_REFERENCES, "n_population": 300},
    "quick, no population": {"n_references": 0, "n_population": 0},
    "full, no population": {"n_references": N_REFERENCES, "n_population": 0},
    "full, adversarial inputs and curvature": {
        "n_references": N_REFERENCES, "n_population": 300, "adversarial": True, "curvature": True,
    },
}  # fmt: skip


def signals_of(phi: np.ndarray, curvature: np.ndarray | None) -> dict[str, np.ndarray]:
    """Everything two classes give out at these margins."""
    p = expit(phi)
    loss, q = -log_expit(phi), 1 - p
    found = {
        "phi": phi, "loss": loss, "probability": p, "margin": phi, "correct": (phi > 0).astype(float),
        "entropy": p * loss - q * log_expit(-phi), "modified_entropy": 2 * q * loss,
    }  # fmt: skip
    return found if curvature is None else found | {"curvature": curvature}


def tables(
    *, n_pool: int, n_references: int, n_population: int, effect: float, seed: int, adversarial: bool, curvature: bool
) -> list[SignalTable]:
    """The target and its references on clean inputs, and on adversarial ones where asked for.

    ``effect`` is by how many standard deviations of chance training on an example raises its margin.
    """
    rng = np.random.default_rng(seed)
    n_columns = n_pool + n_population
    labels = rng.permutation(np.arange(n_columns) % 2)
    plan = plan_references(labels[:n_pool], n_models=n_references + 2, seed=seed)
    membership = np.zeros((n_references + 2, n_columns), dtype=bool)
    membership[:, :n_pool] = plan.membership
    easiness = rng.normal(1.0, 1.5, n_columns)
    made = []
    for shift in (0.0, -1.0)[: 1 + adversarial]:
        phi = easiness + shift + effect * membership + rng.normal(size=membership.shape)
        curved = np.exp(rng.normal(size=phi.shape) - 0.3 * phi) if curvature else None
        found = {name: values[None] for name, values in signals_of(phi, curved).items()}
        # The first of a pair that the references know nothing of is the target.
        table = SignalTable(
            target={name: values[:, 0] for name, values in found.items()},
            membership=membership[0, :n_pool],
            labels=labels,
        )
        if n_references:
            references = {name: values[:, 2:] for name, values in found.items()}
            table = replace(table, references=references, reference_membership=membership[2:])
        made.append(table)
    return made


def one_audit(*, n_pool: int, seed: int, effect: float = 0.0, **setting: Any) -> dict[str, bool]:
    """What one audit says."""
    setting = {"adversarial": False, "curvature": False, **setting}
    clean, *more = tables(n_pool=n_pool, seed=seed, effect=effect, **setting)
    depth = "full" if setting["n_references"] else "quick"
    options = AuditSettings(depth=depth, references=setting["n_references"] or 2)
    found = attack_all(clean, options, adversarial=more[0] if more else None)
    tests = found.evidence["attacks"]
    smallest = min(p for test in tests for p in (test["auc"], *(entry["p_value"] for entry in test["tpr"])))
    return {
        "claims": found.evidence["strongest"]["p_value"] <= found.evidence["level"],
        "smallest p ≤ 0.2": smallest <= 0.2,
        "version 0.1 claimed": claimed_before([attack.scores for attack in found.scores], clean.membership),
        "some interval alone": any(
            attack["auc_low"] > 0.5 or any((e["conditional_low"] or 0) > e["fpr"] for e in attack["tpr_at_fpr"])
            for attack in [*found.attacks, *(found.adversarial or [])]
        ),
        "attacks": found.evidence["n_attacks"],
    }


def claimed_before(scores: list[np.ndarray], membership: np.ndarray, fpr: float = 0.01) -> bool:
    """Whether version 0.1 would have said "guessing would find 1 %" of the attack with the largest TPR."""
    found = []
    for row in scores:
        false_positives, true_positives, _ = roc_counts(row, membership)
        allowed = int(false_positives[-1] * fpr)
        found.append(int(true_positives[np.searchsorted(false_positives, allowed, side="right") - 1]))
    return clopper_pearson(max(found), int(membership.sum()))[0] > fpr


def one_blind(*, seed: int) -> dict[str, bool]:
    """Whether a fair split is said to be told apart without the model."""
    rng = np.random.default_rng(seed)
    membership = rng.permutation(600) < 300
    scores = blind_baseline(rng.normal(size=(600, 10)), membership, seed=seed)
    return {"claims": auc_interval(scores, membership)[0] > 0.5}


def share(draws: list[bool]) -> dict[str, float]:
    """Share of the draws that are true, with its 95 % interval."""
    low, high = clopper_pearson(sum(draws), len(draws))
    return {"share": sum(draws) / len(draws), "low": low, "high": high}


def repeated(one: Callable[..., dict[str, bool]], n_runs: int, **setting: Any) -> dict[str, Any]:
    """Shares over runs with seeds of their own."""
    started = time.perf_counter()
    found = [one(seed=seed, **setting) for seed in range(n_runs)]
    shares = {name: share([bool(run[name]) for run in found]) for name in found[0] if name != "attacks"}
    count = {"attacks": found[0]["attacks"]} if "attacks" in found[0] else {}
    return {"runs": n_runs, **count, **shares, "seconds_a_run": (time.perf_counter() - started) / n_runs}


def measure(*, n_runs: int = 500, n_pool: int = 600) -> dict[str, Any]:
    """The null table, what is found with a little leakage, and the blind baseline on fair splits."""
    result: dict[str, Any] = {"n_pool": n_pool, "null": {}, "leakage": {}}
    for name, setting in SETTINGS.items():
        runs = n_runs if name in ("quick", "full") else max(1, n_runs // 5)
        result["null"][name] = repeated(one_audit, runs, n_pool=n_pool, **setting)
        print(f"{name}: {result['null'][name]['claims']}", flush=True)
    for effect in (0.25, 0.5, 1.0):
        result["leakage"][f"{effect:g}"] = {
            name: repeated(one_audit, max(1, n_runs // 10), n_pool=n_pool, effect=effect, **SETTINGS[name])["claims"]
            for name in ("quick", "full")
        }
    result["blind"] = repeated(one_blind, n_runs)
    return result


def cell(found: dict[str, float]) -> str:
    """A share in percent with its interval."""
    return f"{100 * found['share']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def tables_in_markdown(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    columns = {
        "claims": "Claims leakage",
        "smallest p ≤ 0.2": "Smallest p ≤ 0.2",
        "version 0.1 claimed": "Version 0.1 claimed",
        "some interval alone": "Some interval alone above guessing",
    }
    lines = [
        f"| Audit without leakage | Runs | Attacks | {' | '.join(columns.values())} |",
        f"|---|---:|---:|{'---|' * len(columns)}",
    ]
    for name, found in result["null"].items():
        shares = " | ".join(cell(found[column]) for column in columns)
        lines.append(f"| {name} | {found['runs']} | {found['attacks']} | {shares} |")
    lines += ["", "| Rise of a member's margin, in standard deviations of chance | Quick claims | Full claims |"]
    lines.append("|---|---|---|")
    for effect, found in result["leakage"].items():
        lines.append(f"| {effect} | {cell(found['quick'])} | {cell(found['full'])} |")
    blind = result["blind"]
    lines += ["", f"Of {blind['runs']} fair splits the blind baseline calls {cell(blind['claims'])} different."]
    return "\n".join(lines)
