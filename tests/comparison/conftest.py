"""A comparison's table with made-up figures, and made-up reports of which a table is gathered."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from hf_privacy.auditing import mean_interval
from hf_privacy.comparison import Comparison, comparison_table

HOSTS = {"none": (0.68, 0.91, 0.45), "relax_loss": (0.67, 0.78, 0.2), "hamp": (0.675, 0.8, 0.15)}
CONTROLS = {"zero": (0.66, 0.86, 0.36), "random": (0.675, 0.9, 0.44)}


@pytest.fixture
def make_table() -> Callable[..., dict[str, Any]]:
    """``make_table(resolved=False)`` gives a table without a resolved TPR."""

    def make(*, resolved: bool = True) -> dict[str, Any]:
        rng = np.random.default_rng(1)

        def figure(mean: float, spread: float) -> dict[str, Any]:
            values = [float(value) for value in mean + spread * rng.normal(size=3)]
            return {"values": values, **mean_interval(values)}

        def row(name, accuracy, auc, tpr, *, host=None, rewind=None, outputs="plain") -> dict[str, Any]:
            found = {
                "title": "LiRA (online, pooled variance)",
                "auc": figure(auc, 0.006),
                "tpr": figure(tpr, 0.01) if resolved else None,
            }
            measure = "tpr" if resolved else "auc"
            return {
                "name": name,
                "title": name,
                "defense": name.partition("_cwrf")[0],
                "parameters": {},
                "critical_weight_rewind": rewind,
                "outputs": outputs,
                "host": host,
                "epsilon": None,
                "accuracy": figure(accuracy, 0.006),
                "gap": figure(1 - accuracy, 0.006),
                "attacks": {"lira": found},
                "strongest": {"name": "lira", "title": found["title"], "measure": measure, **found[measure]},
                "canary_auc": None,
                "against": None,
            }

        rows = []
        for name, (accuracy, auc, tpr) in HOSTS.items():
            rows.append(row(name, accuracy, auc, tpr))
            if name == "hamp":
                rows.append(row(name, accuracy, auc - 0.1, tpr - 0.08, outputs="defended"))
            rows.append(row(f"{name}_cwrf", accuracy - 0.01, auc - 0.1, 0.7 * tpr, host=name, rewind={}))
        rows += [row(name, *figures, host="none", rewind={"score": name}) for name, figures in CONTROLS.items()]
        return {
            "name": "made up",
            "model": "MLP",
            "dataset": {"name": "location30", "revision": None, "fingerprint": "f"},
            "split": {"n_members": 2250, "n_nonmembers": 2250, "n_population": 500},
            "references": 32,
            "seeds": [0, 1, 2],
            "attacks": ["lira"],
            "fpr": 0.01,
            "confidence": 0.95,
            "rows": rows,
        }

    return make


def _interval(value: float, half: float = 0.04) -> dict[str, float]:
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}


def _attack_entry(name: str, title: str, auc: float, tpr: float) -> dict[str, Any]:
    return {
        "name": name, "title": title, "n_references": 16, "queries": ["identity"], "parameters": {}, "auc": auc,
        "auc_low": auc - 0.02, "auc_high": auc + 0.02, "balanced_accuracy": 0.6, "advantage": 0.2,
        "tpr_at_fpr": [
            {"fpr": 0.01, "tpr": tpr, "low": tpr / 2, "high": min(1.0, 2 * tpr), "conditional_low": 0.8 * tpr,
             "conditional_high": min(1.0, 1.2 * tpr)}
        ],
        "n_members": 400, "n_nonmembers": 400, "confidence": 0.95,
    }  # fmt: skip


@pytest.fixture
def make_report() -> Callable[..., dict[str, Any]]:
    """``make_report(accuracy, robust, tpr)`` gives an audit's JSON; ``n_targets`` and ``with_values`` its means."""

    def make(
        accuracy: float, robust: float | None, tpr: float, *, n_targets: int = 0, with_values: bool = False
    ) -> dict[str, Any]:
        n = 400
        bounds = ((-1.0, 0.1), (0.1, 0.25), (0.5, 0.75))

        def mean(value: float) -> dict[str, Any]:
            values = [value + 0.01 * (number - (n_targets - 1) / 2) for number in range(n_targets)]
            found = mean_interval(values)
            return found if with_values else {key: found[key] for key in ("mean", "low", "high")}

        report: dict[str, Any] = {
            "schema_version": "0.2", "created": "2026-11-23T10:00:00Z",
            "model": {
                "name": None, "architecture": "ResNet", "base_model": None, "base_revision": None,
                "weights_sha256": "0" * 64, "n_parameters": 6, "n_trainable_parameters": 6, "adapter": None,
            },
            "dataset": {"name": "digits", "revision": None, "fingerprint": "ab12", "n_examples": 900, "n_classes": 10},
            "split": {
                "hash": "cd34", "n_members": n, "n_nonmembers": n, "n_population": 100, "stratified": True,
                "exact_repeats": 0, "near_repeats": None,
            },
            "defense": {"name": "none", "parameters": {}, "paper": None}, "training": {},
            "epsilon": {"upper": None, "lower": None}, "depth": "full",
            "references": {"n_models": 16, "fraction": 0.5, "recipe_hash": "ef56"},
            "attacks": [_attack_entry("lira", "LiRA", 0.7, tpr), _attack_entry("rmia", "RMIA", 0.68, 0.8 * tpr)],
            "curves": {},
            "utility": {
                "member_accuracy": _interval(min(1.0, accuracy + 0.1)), "nonmember_accuracy": _interval(accuracy),
                "member_loss": 0.1, "nonmember_loss": 0.4,
            },
            "memorization_bins": [
                {
                    "memorization_from": low, "memorization_to": high, "attack": attack,
                    "n_members": 200 - 70 * number, "n_nonmembers": 190 - 70 * number,
                    "auc": 0.6, "auc_low": 0.5, "auc_high": 0.7, "confidence": 0.95,
                    "fpr": 0.01, "tpr": (number + 1) * tpr * share / 4, "tpr_low": 0.0, "tpr_high": 1.0,
                }
                for attack, share in (("lira", 1.0), ("rmia", 0.8)) for number, (low, high) in enumerate(bounds)
            ],
            "robustness": None, "unlearning": None,
            "cost": {
                "training_seconds": 10.0, "references_seconds": 1.0, "signals_seconds": 1.0, "attacks_seconds": 1.0,
            },
            "versions": {}, "caveats": [],
        }  # fmt: skip
        if robust is not None:
            figures = (
                ("clean", "Clean", accuracy),
                ("pgd", "PGD-20", robust),
                ("autoattack", "AutoAttack", max(0.0, robust - 0.05)),
            )
            report["robustness"] = {
                "norm": "linf", "epsilon": 8 / 255, "n_steps": 20, "step_size": 1 / 255, "space": "pixels",
                "accuracies": [
                    {"name": name, "title": title, "set": which, **_interval(value + shift), "n_examples": n}
                    for name, title, value in figures for which, shift in (("members", 0.05), ("nonmembers", 0.0))
                ],
                "targets": None,
                "membership_attacks": [_attack_entry("lira", "LiRA", 0.75, min(1.0, 1.5 * tpr))],
                "memorization_bins": [
                    {
                        "memorization_from": low, "memorization_to": high, "name": name, "set": which,
                        "n_examples": 50, **_interval(value * (1 - 0.2 * number)),
                    }
                    for name, _, value in figures for which in ("members", "nonmembers")
                    for number, (low, high) in enumerate(bounds)
                ],
                "seconds": 60.0,
            }  # fmt: skip
        if n_targets:
            report["targets"] = {
                "n_targets": n_targets, "confidence": 0.95, "member_accuracy": mean(accuracy + 0.1),
                "nonmember_accuracy": mean(accuracy),
                "attacks": [
                    {"name": name, "title": title, "auc": mean(0.7), "tpr_at_fpr": [{"fpr": 0.01, **mean(found)}]}
                    for name, title, found in (("lira", "LiRA", tpr), ("rmia", "RMIA", 0.8 * tpr))
                ],
            }  # fmt: skip
            if robust is not None:
                report["robustness"]["targets"] = {
                    "n_targets": n_targets,
                    "accuracies": [{"name": "pgd", "set": "nonmembers", **mean(robust)}],
                }
        return report

    return make


@pytest.fixture
def gather(tmp_path, monkeypatch, made_up_evidence) -> Callable[..., dict[str, Any]]:
    """``gather({defence: [report a seed]}, **keys)`` gives the table of a comparison that has these reports."""
    monkeypatch.setattr("hf_privacy.comparison.table.require_done", lambda comparison: None)
    numbers = count()

    def make(reports: dict[str, list[dict[str, Any]]], **keys: Any) -> dict[str, Any]:
        plan = Comparison.from_dict(
            {
                "recipe": {"model": {"name_or_path": "timm/resnet18"}},
                "defenses": {name: {"defense": "none" if name == "none" else "relax_loss"} for name in reports},
                "output_dir": str(tmp_path / f"comparison_{next(numbers)}"),
                "name": "made up",
                **keys,
            }
        )
        for name, found in reports.items():
            for cell, report in zip(plan.cells(name), found, strict=True):
                cell.folder.path.mkdir(parents=True)
                audited = {**report, "evidence": made_up_evidence(report)}
                (cell.folder.path / "privacy_report.json").write_text(json.dumps(audited))
        return comparison_table(plan)

    return make
