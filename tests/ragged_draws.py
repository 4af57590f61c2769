"""Ragged log-probabilities to test on, and rows out of them one at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def draw(n_rows=60, longest=70, seed=0):
    """Offsets, and log-probability, minus entropy and variance of each token as a vocabulary of 50 gives them."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, longest + 1, n_rows)
    lengths[:4] = 1, 2, 4, 5
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    logits = generator.normal(0.0, generator.uniform(0.2, 5.0, (offsets[-1], 1)), (offsets[-1], 50))
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    mean = (np.exp(log_probs) * log_probs).sum(axis=1)
    variance = (np.exp(log_probs) * (log_probs - mean[:, None]) ** 2).sum(axis=1)
    chosen = np.array([generator.choice(50, p=np.exp(row) / np.exp(row).sum()) for row in log_probs])
    return offsets, log_probs[np.arange(len(chosen)), chosen], mean, variance


def rows(values, offsets):
    """The rows of a flat array as a list."""
    return [values[start:stop] for start, stop in pairwise(offsets)]


def pick(chosen, offsets, *flat):
    """Offsets and flat arrays of some rows, in the order given."""
    lengths = np.diff(offsets)[chosen]
    taken = [np.concatenate([rows(values, offsets)[row] for row in chosen]) for values in flat]
    return np.concatenate([[0], np.cumsum(lengths)]), *taken
