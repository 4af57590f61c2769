"""Reference tables drawn from a known model."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture
def drawn():
    """A function that draws correctness of K models in complementary random halves from known chances per example."""

    def draw(chance_in, chance_out, *, n_references=16, seed=0):
        generator = np.random.default_rng(seed)
        chance_in, chance_out = np.broadcast_arrays(np.asarray(chance_in, float), np.asarray(chance_out, float))
        half = np.argsort(generator.random((n_references // 2, chance_in.size)), axis=0) < n_references // 4
        membership = np.concatenate([half, ~half])
        correct = generator.random(membership.shape) < np.where(membership, chance_in, chance_out)
        return SimpleNamespace(correct=correct.astype(float), membership=membership)

    return draw
