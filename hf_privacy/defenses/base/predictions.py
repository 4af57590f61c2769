"""What a defended loss is made of, for each prediction: a label of a class, or a scored token."""

from __future__ import annotations

import torch


def surprise(log_probabilities: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """−ln p of what was to be predicted, in nats, with a gradient: [m] from log-probabilities [m, C].

    Examples
    --------
    >>> surprise(torch.zeros(1, 4).log_softmax(1), torch.tensor([2]))  # ln 4
    tensor([1.3863])
    """
    return -log_probabilities.gather(1, targets.unsqueeze(1)).squeeze(1)


def entropy(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Entropy of the predictions in nats, with a gradient: [m] from log-probabilities [m, C].

    Examples
    --------
    >>> entropy(torch.zeros(1, 4).log_softmax(1))  # ln 4
    tensor([1.3863])
    """
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1)
