"""How unsure a model is of each example."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of the predictions in nats, with a gradient: [B] from logits [B, C].

    Examples
    --------
    >>> round(float(entropy(torch.zeros(1, 4))), 4)  # ln 4
    1.3863
    """
    log_probabilities = F.log_softmax(logits, dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1)
