"""A report of two made-up attacks, and a saved model it belongs to."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_privacy.hub import weights_sha256
from hf_privacy.reports import PrivacyReport, curve_of
from hf_privacy.statistics import clopper_pearson, summarize


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
        "schema_version": "0.2",
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
        "leakage_share": None,
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
def report_dict(made_up_evidence) -> dict:
    """A valid report as plain values, free to change."""
    made = copy.deepcopy(_TEMPLATE)
    return {**made, "evidence": made_up_evidence(made)}


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
def quick_report(report_dict: dict, made_up_evidence) -> PrivacyReport:
    """Without reference models, with LOSS alone."""
    report_dict.update(depth="quick", references=None, attacks=report_dict["attacks"][:1])
    del report_dict["curves"]["lira"]
    report_dict["evidence"] = made_up_evidence(report_dict)
    return PrivacyReport.from_dict(report_dict)


_TOKEN_ATTACKS = (
    ("loss", "LOSS", 0, 0.15), ("loss_sum", "LOSS (sum over tokens)", 0, 0.1), ("min_k", "Min-K %", 0, 0.12),
    ("min_k_plus_plus", "Min-K %++", 0, 0.15), ("length", "Length alone (control)", 0, 0.0),
    ("base_calibration", "LOSS calibrated by the base checkpoint", 0, 0.9),
    ("window_comparison", "Window comparison with the base checkpoint (WBC)", 0, 1.0),
    ("lira", "LiRA (online, pooled variance)", 8, 1.2), ("rmia", "RMIA (online)", 8, 1.1),
)  # fmt: skip


def _made_token_attacks() -> dict[str, tuple[dict, dict]]:
    return {
        name: _attack(name, title, n_references=n, shift=shift, seed=10 + place, n=200)
        for place, (name, title, n, shift) in enumerate(_TOKEN_ATTACKS)
    }


_MADE_TOKEN_ATTACKS = _made_token_attacks()


@pytest.fixture
def language_dict(report_dict: dict, made_up_evidence) -> Callable[..., dict]:
    """A language model's report of some of the attacks, an adapter's by author."""

    def make(*attacks: str, shown: float = 0.0005) -> dict:
        made = copy.deepcopy(report_dict)
        names = attacks or tuple(_MADE_TOKEN_ATTACKS)
        made["attacks"] = [copy.deepcopy(_MADE_TOKEN_ATTACKS[name][0]) | {"queries": ["identity"]} for name in names]
        made["curves"] = {name: copy.deepcopy(_MADE_TOKEN_ATTACKS[name][1]) for name in names}
        if not any(attack["n_references"] for attack in made["attacks"]):
            made |= {"depth": "quick", "references": None}
        else:
            made["references"]["n_models"] = 8
        made["model"] |= {
            "name": "tofu-lora", "task": "causal-lm", "architecture": "LlamaForCausalLM",
            "base_model": "owner/stories260K", "base_revision": "b" * 40, "n_parameters": 270_464,
            "n_trainable_parameters": 9_600, "adapter": "lora",
        }  # fmt: skip
        del made["dataset"]["n_classes"]
        made["dataset"] |= {
            "name": "locuslab/TOFU", "revision": "c" * 40,
            "tokens": {
                "n_scored": {"members": 8_120, "non_members": 8_044, "population": 4_000}, "n_total": 31_500,
                "mean_row": 63.1, "longest_row": 128, "n_truncated": 3, "max_length": 128,
            },
        }  # fmt: skip
        made["split"] |= {
            "stratified": False, "unit": "author", "n_groups": {"members": 10, "non_members": 10, "population": 5},
        }  # fmt: skip
        made["utility"] = {
            "member_loss": 1.1, "member_perplexity": {"value": 3.0042, "low": 2.5, "high": 3.6},
            "member_token_accuracy": {"value": 0.71, "low": 0.66, "high": 0.76},
            "nonmember_loss": 2.0, "nonmember_perplexity": {"value": 7.389, "low": 6.4, "high": 8.5},
            "nonmember_token_accuracy": {"value": 0.52, "low": 0.48, "high": 0.56},
        }  # fmt: skip
        made["evidence"] = made_up_evidence(made, shown=shown)
        return made

    return make


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
def hub_folder(model_folder: Path) -> Callable[[dict], Path]:
    """`model_folder` with a report of its weights, as the gate takes it."""

    def make(report: dict) -> Path:
        report["model"]["weights_sha256"] = weights_sha256(model_folder)
        (model_folder / "privacy_report.json").write_text(json.dumps(report))
        return model_folder

    return make


@pytest.fixture
def folder_report(report_dict: dict, model_folder: Path) -> PrivacyReport:
    """The report of the weights in `model_folder`."""
    report_dict["model"]["weights_sha256"] = weights_sha256(model_folder)
    return PrivacyReport.from_dict(report_dict)


BIN_BOUNDS = ((-1.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


def _accuracy(value: float, n: int = 200) -> dict:
    low, high = clopper_pearson(round(value * n), n)
    return {"value": round(value * n) / n, "low": float(low), "high": float(high), "n_examples": n}


def _bins(name: str, *, strength: float) -> list[dict]:
    bins = []
    for number, (low, high) in enumerate(BIN_BOUNDS):
        tpr = min(1.0, 0.01 + strength * number)
        bins.append(
            {
                "memorization_from": low, "memorization_to": high, "attack": name, "n_members": 90 - 15 * number,
                "n_nonmembers": 95 - 15 * number, "auc": 0.6, "auc_low": 0.5, "auc_high": 0.7, "confidence": 0.95,
                "fpr": 0.01, "tpr": tpr, "tpr_low": tpr / 2, "tpr_high": min(1.0, 1.3 * tpr),
            }
        )  # fmt: skip
    return bins


@pytest.fixture
def robust_dict(report_dict: dict, made_up_evidence) -> dict:
    """An adversarially trained model's report: PGD-20 and AutoAttack, LiRA and RMIA by memorization."""
    rmia, rmia_curve = _attack("rmia", "RMIA", n_references=16, shift=0.9, seed=2, n=200)
    report_dict["attacks"].append(rmia)
    report_dict["curves"]["rmia"] = rmia_curve
    report_dict["memorization_bins"] = [*_bins("lira", strength=0.15), *_bins("rmia", strength=0.1)]
    titles = {"clean": ("Clean", 0.9, 0.75), "pgd": ("PGD-20", 0.6, 0.45), "autoattack": ("AutoAttack", 0.55, 0.41)}
    accuracies, bins = [], []
    for name, (title, members, nonmembers) in titles.items():
        for which, value in (("members", members), ("nonmembers", nonmembers)):
            n = 100 if name == "autoattack" else 200
            accuracies.append({"name": name, "title": title, "set": which, **_accuracy(value, n)})
            for number, (low, high) in enumerate(BIN_BOUNDS):
                found = _accuracy(value * (1 - (0.05 if which == "members" else 0.22) * number), 90 - 15 * number)
                bins.append({"memorization_from": low, "memorization_to": high, "name": name, "set": which, **found})
    adversarial = [_attack("lira", "LiRA (online, pooled variance)", n_references=16, shift=1.4, seed=3, n=200)[0]]
    report_dict["defense"] = {
        "name": "demem", "parameters": {"objective": "pgd_at", "variance_weight": 0.2},
        "paper": {"title": "DeMem", "id": "arXiv:2412.05767"},
    }  # fmt: skip
    report_dict["robustness"] = {
        "norm": "linf", "epsilon": 8 / 255, "n_steps": 20, "step_size": 1 / 255, "space": "pixels",
        "accuracies": accuracies,
        "targets": {
            "n_targets": 5,
            "accuracies": [
                {"name": "clean", "set": "nonmembers", "mean": 0.752, "low": 0.741, "high": 0.763},
                {"name": "pgd", "set": "nonmembers", "mean": 0.447, "low": 0.432, "high": 0.462},
            ],
        },
        "membership_attacks": adversarial,
        "memorization_bins": bins,
        "seconds": 311.5,
    }  # fmt: skip
    shares = [
        {"top": 0.01, "share": 0.062, "low": 0.03, "high": 0.11, "n_examples": 4},
        {"top": 0.05, "share": 0.31, "low": 0.24, "high": 0.39, "n_examples": 20},
    ]
    report_dict["leakage_share"] = {"attack": "lira", "fpr": 0.01, "shares": shares, "ranked_by": "memorization"}
    report_dict["evidence"] = made_up_evidence(report_dict)
    return report_dict


@pytest.fixture
def robust_report(robust_dict: dict) -> PrivacyReport:
    return PrivacyReport.from_dict(robust_dict)
