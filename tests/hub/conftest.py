"""A saved model folder with a valid report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_privacy.hub import weights_sha256

CARD = "---\nlibrary_name: transformers\ntags:\n- privacy\n---\n\n# Digits\n\n![curves](privacy_roc.png)\n"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(32)


def attack(name: str, auc: tuple[float, float, float], tpr: tuple[float, float, float] | None) -> dict[str, Any]:
    """An attack's figures: (low, value, high) of its AUC and of its TPR at FPR 0.01 (None: not resolved)."""
    names = ("tpr", "low", "high", "conditional_low", "conditional_high")
    entry: dict[str, Any] = {"fpr": 0.01, **dict.fromkeys(names), "reason": "90 non-members"}
    if tpr is not None:
        entry = {"fpr": 0.01, "tpr": tpr[1], "low": tpr[0], "high": tpr[2]}
        entry |= {"conditional_low": (tpr[0] + tpr[1]) / 2, "conditional_high": (tpr[1] + tpr[2]) / 2}
    return {
        "name": name,
        "title": f"Attack {name}",
        "n_references": 8,
        "queries": ["identity"],
        "parameters": {"variance": "pooled"},
        "auc": auc[1],
        "auc_low": auc[0],
        "auc_high": auc[2],
        "balanced_accuracy": 0.6,
        "advantage": 0.2,
        "tpr_at_fpr": [entry],
        "n_members": 400,
        "n_nonmembers": 400,
        "confidence": 0.95,
    }


def report_dict(sha256: str) -> dict[str, Any]:
    """A valid report: LOSS at AUC 0.58 [0.54, 0.66], LiRA at 0.60 [0.57, 0.63]; the wider interval is the worst."""
    accuracy = {"value": 0.9, "low": 0.85, "high": 0.94}
    return {
        "schema_version": "0.2",
        "created": "2026-11-23T10:00:00Z",
        "model": {
            "name": "digits",
            "architecture": "ViTForImageClassification",
            "base_model": None,
            "base_revision": None,
            "weights_sha256": sha256,
            "n_parameters": 6,
            "n_trainable_parameters": 6,
            "adapter": None,
        },
        "dataset": {"name": "digits", "revision": None, "fingerprint": "ab12", "n_examples": 1797, "n_classes": 10},
        "split": {
            "hash": "cd34",
            "n_members": 400,
            "n_nonmembers": 400,
            "n_population": 400,
            "stratified": True,
            "exact_repeats": 0,
            "near_repeats": None,
        },
        "defense": {"name": "none", "parameters": {}, "paper": None},
        "training": {"learning_rate": 0.001, "num_train_epochs": 10},
        "epsilon": {"upper": None, "lower": None},
        "depth": "full",
        "references": {"n_models": 8, "fraction": 0.5, "recipe_hash": "ef56"},
        "attacks": [
            attack("loss", (0.54, 0.58, 0.66), (0.01, 0.02, 0.07)),
            attack("lira", (0.57, 0.60, 0.63), (0.03, 0.05, 0.06)),
        ],
        "curves": {
            "lira": {
                "fpr": [0, 0.5, 1],
                "tpr": [0, 0.6, 1],
                "score_edges": [-1, 0, 1],
                "member_counts": [100, 300],
                "nonmember_counts": [200, 200],
            }
        },
        "utility": {
            "member_accuracy": accuracy,
            "nonmember_accuracy": accuracy,
            "member_loss": 0.2,
            "nonmember_loss": 0.4,
        },
        "memorization_bins": None,
        "robustness": None,
        "unlearning": None,
        "cost": {"training_seconds": 3, "references_seconds": 20.5, "signals_seconds": 1, "attacks_seconds": None},
        "versions": {"torch": "2.6.0"},
        "caveats": ["400 non-members resolve FPR 0.01, not 0.001."],
    }


@pytest.fixture
def report(made_up_evidence) -> dict[str, Any]:
    """A valid report, for weights that do not exist."""
    made = report_dict("0" * 64)
    return {**made, "evidence": made_up_evidence(made)}


MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path, made_up_evidence) -> MakeFolder:
    """Give a function that saves a small audited model: ``make_folder(name, adapter=False, audited=True)``."""

    def make(name: str = "model", *, adapter: bool = False, audited: bool = True, seed: int = 0) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        weights = np.random.default_rng(seed).normal(size=(2, 3)).astype("float32")
        if adapter:
            save_file({"lora_A": weights}, folder / "adapter_model.safetensors")
            configuration = {"peft_type": "LORA", "base_model_name_or_path": "timm/resnet18.a1_in1k"}
            (folder / "adapter_config.json").write_text(json.dumps(configuration))
        else:
            save_file({"weight": weights}, folder / "model.safetensors", metadata={"format": "pt"})
            (folder / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_size": 3}))
            (folder / "preprocessor_config.json").write_text("{}")
        if audited:
            (folder / "README.md").write_text(CARD)
            report = report_dict(weights_sha256(folder))
            report["evidence"] = made_up_evidence(report)
            (folder / "privacy_report.json").write_text(json.dumps(report))
            (folder / "privacy_report.html").write_text("<!doctype html><p>report</p>")
            (folder / "privacy_roc.png").write_bytes(PNG)
        return folder

    return make
