"""What attacks read of each scored token, and of each row of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hf_privacy.attacks import min_k, min_k_plus_plus

if TYPE_CHECKING:
    from hf_privacy.models import ScoredTokens


def token_values(scored: ScoredTokens) -> tuple[torch.Tensor, ...]:
    """Of each scored token its log-probability, two moments of log-probability, and whether it is the likeliest.

    Parameters
    ----------
    scored : ScoredTokens

    Returns
    -------
    log_prob : float32 tensor of shape [n]
        ln p(token), in nats.
    mean, variance : float32 tensor of shape [n]
        Of ln p under the model's own distribution: Σ p ln p (minus the entropy), and Σ p (ln p)² − (Σ p ln p)².
    greedy : bool tensor of shape [n]
        Whether no other token is likelier (the first of equals counts, as argmax has it).

    Examples
    --------
    >>> from hf_privacy.models import ScoredTokens
    >>> scored = ScoredTokens.of_logits(torch.zeros(1, 2, 4), torch.tensor([[-100, 0]]))
    >>> token_values(scored)
    (tensor([-1.3863]), tensor([-1.3863]), tensor([0.]), tensor([True]))
    """
    return scored.map(_of_logits)


@torch.no_grad()
def _of_logits(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
    # Each pass over [n, V] costs as much as a part of the head itself: few of them, in place where they can be.
    log_p = torch.log_softmax(logits, dim=-1)
    log_prob = log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    greedy = log_prob == log_p.amax(dim=-1)
    likeliest = greedy.nonzero().squeeze(-1)  # or one of several: argmax, ten times as slow, is for these alone
    greedy[likeliest] = logits[likeliest].argmax(dim=-1) == targets[likeliest]
    p = log_p.exp()
    log_p.clamp_(min=-1e4)  # a token of probability 0 counts for nothing
    mean = torch.linalg.vecdot(p, log_p)
    # About the mean: a difference of squares would lose all digits where the model is sure.
    variance = log_p.sub_(mean.unsqueeze(-1)).square_().mul_(p).sum(dim=-1)
    return log_prob, mean, variance, greedy


def example_values(
    log_prob: np.ndarray, mean: np.ndarray, variance: np.ndarray, greedy: np.ndarray, offsets: np.ndarray
) -> dict[str, np.ndarray]:
    """Signals of each row, float64 [N], from those of its tokens: arithmetic alone.

    Returns
    -------
    dict of str to float64 array of shape [N]
        "loss", the mean of −ln p in nats a token; "phi", minus that; "probability", its exponential, the geometric
        mean of p; "loss_sum"; "n_tokens"; "mean_entropy" in nats; "correct", the share of greedy hits; "min_k" and
        "min_k_plus_plus", see `hf_privacy.attacks`.

    Examples
    --------
    >>> found = example_values(*np.array([[-1.0, -3.0], [-2.0, -2.0], [1.0, 1.0], [1, 0]]), np.array([0, 2]))
    >>> found["loss"], found["correct"]
    (array([2.]), array([0.5]))
    """
    log_prob, mean, greedy = (np.asarray(values, dtype=np.float64) for values in (log_prob, mean, greedy))
    counts = np.diff(offsets).astype(np.float64)
    starts = offsets[:-1]
    total = np.add.reduceat(log_prob, starts)
    phi = total / counts
    return {
        "phi": phi,
        "loss": -phi,
        "probability": np.exp(phi),
        "loss_sum": -total,
        "n_tokens": counts,
        "mean_entropy": -np.add.reduceat(mean, starts) / counts,
        "correct": np.add.reduceat(greedy, starts) / counts,
        "min_k": min_k(log_prob, offsets),
        "min_k_plus_plus": min_k_plus_plus(log_prob, mean, variance, offsets),
    }
