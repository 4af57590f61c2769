"""Modules loaded once, and a small table of signals."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hf_privacy.metrics import load_metric


class Modules(dict):
    """Modules by name, each loaded when it is first asked for."""

    def __missing__(self, name: str) -> Any:
        self[name] = load_metric(name)
        return self[name]


@pytest.fixture(scope="session")
def metrics() -> Modules:
    """The package's modules: ``metrics["lira"]``."""
    return Modules()


@pytest.fixture(scope="session")
def table() -> SimpleNamespace:
    """Signals of a leaky target and of 8 reference models on 300 examples, and what else the attacks ask for."""
    generator = np.random.default_rng(0)
    n_references, n_examples, n_population = 8, 300, 120
    half = generator.random((n_references // 2, n_examples)) < 0.5
    reference_membership = np.stack([half, ~half], axis=1).reshape(n_references, n_examples)
    membership = generator.random(n_examples) < 0.4
    hardness = generator.normal(0, 2, n_examples)
    phi = hardness + membership + generator.normal(0, 0.5, n_examples)
    reference_phi = hardness + reference_membership + generator.normal(0, 0.5, (n_references, n_examples))
    features = np.stack([hardness, generator.normal(size=n_examples)], axis=1)
    population_features = generator.normal(0, 2, (n_population, 2))
    population_phi = population_features[:, 0] + generator.normal(0, 0.5, n_population)
    return SimpleNamespace(
        phi=phi,
        membership=membership,
        loss=np.logaddexp(0, -phi),
        prob=1 / (1 + np.exp(-phi)),
        labels=generator.integers(3, size=n_examples),
        base_phi=hardness + generator.normal(0, 0.5, n_examples),
        features=features,
        reference_phi=reference_phi,
        reference_loss=np.logaddexp(0, -reference_phi),
        reference_prob=1 / (1 + np.exp(-reference_phi)),
        reference_membership=reference_membership,
        population_phi=population_phi,
        population_loss=np.logaddexp(0, -population_phi),
        population_features=population_features,
        correct=phi + generator.normal(0, 1, (4, n_examples)) > 0,
        distance=np.abs(phi),
    )
