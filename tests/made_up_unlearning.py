"""The section of a report on unlearning, made up."""

from __future__ import annotations


def figures(*values: float) -> list[dict]:
    names = ("UA", "RA", "TA", "MIA")
    return [
        {
            "name": name,
            "value": value,
            "low": max(value - 0.05, 0.0),
            "high": min(value + 0.05, 1.0),
            "n_examples": 120,
        }
        for name, value in zip(names, values, strict=True)
    ]


SECTION = {
    "request": {"kind": "label", "n_requests": 1, "n_forget": 120, "n_retain": 1080, "n_heldout": 100, "n_test": 600},
    "method": {"name": "salun", "parameters": {"learning_rate": 0.01}, "paper": {"title": "SalUn", "id": "arXiv:1"}},
    "after_edit": {"forget_accuracy": 0.25},
    "n_retrained": 3,
    "figures": {
        "before": figures(0.01, 0.99, 0.9, 0.1),
        "after": figures(0.31, 0.98, 0.89, 0.4),
        "retrained": figures(0.35, 0.99, 0.9, 0.45),
    },
    "gap": {
        "average": 0.0275, "in_retrain_noise": 2.2, "retrain_against_retrain": 0.0125,
        "figures": [
            {"name": name, "gap": gap, "in_retrain_noise": None}
            for name, gap in (("UA", -0.04), ("RA", -0.01), ("TA", -0.01), ("MIA", -0.05))
        ],
    },
    "retain_harm": {
        "newly_wrong": {"value": 0.02, "low": 0.01, "high": 0.03},
        "newly_right": {"value": 0.0, "low": 0, "high": 0.01},
        "mean_loss_before": 0.05, "mean_loss_after": 0.07,
    },
    "forget_loss": {
        "quantiles": [0.5, 0.95], "before": [0.01, 0.1], "after": [0.4, 2.0], "retrained": [0.5, 2.5],
        "test_after": [0.2, 2.1],
    },
    "relearning": {"cap": 100, "steps": 4, "regained": True, "retrained_steps": 20.0, "retrained_regained": 3},
    "u_lira": None,
    "cost": {
        "scoring_seconds": 1.0, "shadows_seconds": 0.0, "training_seconds": 3.0, "total_seconds": 4.0,
        "retrain_seconds": 80.0, "share_of_retrain": 0.05, "share_with_shadows": 0.05,
    },
}  # fmt: skip
