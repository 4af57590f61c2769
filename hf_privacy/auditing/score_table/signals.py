"""The signals that attacks read, from log-probabilities or logits, in NumPy."""

from __future__ import annotations

import numpy as np

# Numbers that a stretch of rows holds, so that the arrays in between stay small.
_BLOCK = 1 << 22


def class_signals(scores: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """What `hf_privacy.signals.signals_from_logits` gives, without torch: each a function of its own row.

    Log-probabilities are logits too. 1 − p_y is the sum of the other classes' probabilities, never a difference.

    Parameters
    ----------
    scores : float64 array of shape [N, C]
        Finite.
    labels : int array of shape [N]

    Returns
    -------
    dict of str to float64 array of shape [N]
        "phi", "loss", "probability", "margin", "entropy", "modified_entropy", "correct".

    Examples
    --------
    >>> made = class_signals(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([0, 1]))
    >>> made["phi"], made["loss"].round(4)
    (array([2., 0.]), array([0.1269, 0.6931]))
    """
    step = max(1, _BLOCK // scores.shape[1])
    parts = [_signals(scores[at : at + step], labels[at : at + step]) for at in range(0, len(scores), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def true_class_signals(log_p: np.ndarray, log_others: np.ndarray) -> dict[str, np.ndarray]:
    """The signals that the true class alone gives: "phi", "loss" and "probability".

    Parameters
    ----------
    log_p, log_others : float64 array of shape [N]
        Log-probability of the true class, and of all others together.

    Examples
    --------
    >>> true_class_signals(np.log([0.8]), np.log([0.2]))["phi"].round(4)
    array([1.3863])
    """
    return {"phi": log_p - log_others, "loss": -log_p, "probability": np.exp(log_p)}


def _signals(scores: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.arange(len(scores))
    log_others = _log_sum_others(scores)  # [N, C]: of the classes other than j
    odds = scores - log_others
    log_p, log_not_p = -np.logaddexp(0.0, -odds), -np.logaddexp(0.0, odds)
    p = np.exp(log_p)
    others_term = p * log_not_p
    others_term[rows, labels] = 0.0
    not_label = scores.copy()
    not_label[rows, labels] = -np.inf
    log_p_label = log_p[rows, labels]
    return {
        "phi": odds[rows, labels],
        "loss": -log_p_label,
        "probability": np.exp(log_p_label),
        "margin": scores[rows, labels] - not_label.max(axis=1),
        "entropy": -np.minimum((p * log_p).sum(axis=1), 0.0),
        "modified_entropy": -np.exp(log_not_p[rows, labels]) * log_p_label - others_term.sum(axis=1),
        "correct": (scores.argmax(axis=1) == labels).astype(np.float64),
    }


def _log_sum_others(scores: np.ndarray) -> np.ndarray:
    """For each class the log-sum-exp of all but it; that of the largest is summed without it, so nothing cancels."""
    rows, top = np.arange(len(scores)), scores.argmax(axis=1)
    largest = scores[rows, top]
    rest = np.exp(scores - largest[:, None])
    rest[rows, top] = 0.0
    others = largest[:, None] + np.log1p(np.maximum(rest.sum(axis=1, keepdims=True) - rest, 0.0))
    without = scores.copy()
    without[rows, top] = -np.inf
    second = without.max(axis=1)
    others[rows, top] = second + np.log(np.exp(without - second[:, None]).sum(axis=1))
    return others
