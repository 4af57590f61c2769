"""A report of two made-up attacks, and a saved model it belongs to."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_privacy.hub import weights_sha256
from hf_privacy.reports import PrivacyReport, curve_of
from hf_privacy.statistics import summarize


def _attack(name: str, title: str, *, n_references: int, shift: float, seed: int, n: int) -> tuple[dict, dict]:
    rng = np.random.default_rng(seed)
    membership = np.arange(2 * n) < n
    scores = rng.normal(size=2 * n) + shift * membership
    attack = {
        "name": name,
        "title": title,
        "n_references": n_references,
        "queries": ["identity", "flip"],
        "parameters": {},
        **summarize(scores, membership),
    }
    return attack, curve_of(scores, membership)


def _report(n: int) -> dict:
    loss, loss_curve = _attack("loss", "LOSS", n_references=0, shift=0.2, seed=0, n=n)
    lira, lira_curve = _attack("lira", "LiRA (online, pooled variance)", n_references=16, shift=1.2, seed=1, n=n)
    return {
        "schema_version": "0.1",
        "created": "2026-11-23T10:00:00Z",
        "model": {
            "name": "digits-resnet",
            "architecture": "TimmWrapperForImageClassification",
            "base_model": "timm/resnet18.a1_in1k",
            "base_revision": "a" * 40,
            "weights_sha256": "0123456789abcdef" * 4,
            "n_parameters": 11_181_642,
            "n_trainable_parameters": 11_181_642,
            "adapter": None,
        },
        "dataset": {"name": "digits", "revision": None, "fingerprint": "f1a2", "n_examples": 2 * n, "n_classes": 10},
        "split": {
            "hash": "5e5e",
            "n_members": n,
            "n_nonmembers": n,
            "n_population": 100,
            "stratified": True,
            "exact_repeats": 0,
            "near_repeats": None,
        },
        "defense": {"name": "none", "parameters": {}, "paper": None},
        "training": {"learning_rate": 0.001, "num_train_epochs": 30, "optimizer": "adamw"},
        "epsilon": {"upper": None, "lower": None},
        "depth": "full",
        "references": {"n_models": 16, "fraction": 0.5, "recipe_hash": "abab"},
        "attacks": [loss, lira],
        "curves": {"loss": loss_curve, "lira": lira_curve},
        "utility": {
            "member_accuracy": {"value": 0.998, "low": 0.994, "high": 1.0},
            "nonmember_accuracy": {"value": 0.962, "low": 0.948, "high": 0.974},
            "member_loss": 0.012,
            "nonmember_loss": 0.151,
        },
        "targets": None,
        "budgets": None,
        "blind_baseline": None,
        "canaries": None,
        "class_slices": None,
        "memorization_bins": None,
        "robustness": None,
        "unlearning": None,
        "cost": {
            "training_seconds": 31.2,
            "references_seconds": None,
            "signals_seconds": 4.0,
            "attacks_seconds": 0.3,
        },
        "versions": {"hf_privacy": "0.1.0", "torch": "2.15.0"},
        "caveats": ["Near repeats were not counted."],
    }


_TEMPLATE = _report(200)


@pytest.fixture
def report_dict() -> dict:
    """A valid report as plain values, free to change."""
    return copy.deepcopy(_TEMPLATE)


@pytest.fixture
def report(report_dict: dict) -> PrivacyReport:
    return PrivacyReport.from_dict(report_dict)


@pytest.fixture
def report_over_runs(report_dict: dict) -> PrivacyReport:
    """With the same attack on four training runs."""
    report_dict["targets"] = {
        "n_targets": 4,
        "confidence": 0.95,
        "attacks": [
            {
                "name": "lira",
                "title": "LiRA",
                "auc": {"mean": 0.7654, "low": 0.75, "high": 0.78},
                "tpr_at_fpr": [{"fpr": 0.01, "mean": 0.21, "low": -0.01, "high": 0.43}],
            }
        ],
        "member_accuracy": {"mean": 0.99, "low": 0.98, "high": 1.01},
        "nonmember_accuracy": {"mean": 0.96, "low": 0.95, "high": 0.97},
    }
    return PrivacyReport.from_dict(report_dict)


@pytest.fixture
def quick_report(report_dict: dict) -> PrivacyReport:
    """Without reference models, with LOSS alone."""
    report_dict.update(depth="quick", references=None, attacks=report_dict["attacks"][:1])
    del report_dict["curves"]["lira"]
    return PrivacyReport.from_dict(report_dict)


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A folder with weights and a timm model's configuration."""
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"weight": np.ones((2, 2), np.float32)}, str(folder / "model.safetensors"))
    config = {"model_type": "timm_wrapper", "architectures": ["TimmWrapperForImageClassification"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def folder_report(report_dict: dict, model_folder: Path) -> PrivacyReport:
    """The report of the weights in `model_folder`."""
    report_dict["model"]["weights_sha256"] = weights_sha256(model_folder)
    return PrivacyReport.from_dict(report_dict)
