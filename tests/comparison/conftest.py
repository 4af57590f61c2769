"""A comparison's table with made-up figures: three hosts, weight rewinding on each, controls, HAMP's two rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hf_privacy.auditing import mean_interval

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
