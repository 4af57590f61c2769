"""The part of an audit's table that holds every scored token of language models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hf_privacy.signals import TokenSignals


@dataclass(frozen=True)
class TokenTable:
    """What target, base checkpoint and references say of each scored token of the pool, then of the population.

    Attributes
    ----------
    offsets : int64 [N + Z + 1]
        Where each row's tokens begin and end, the same for all models.
    target : TokenSignals
    base : TokenSignals, optional
        Of the checkpoint before fine-tuning; None for a model from scratch.
    reference_tokens : list of TokenSignals
        Of each of the K references, mapped into memory.
    texts : list of str, optional
        What is scored of each row, as it was given.
    """

    offsets: np.ndarray
    target: TokenSignals
    base: TokenSignals | None = None
    reference_tokens: Sequence[TokenSignals] = ()
    texts: Sequence[str] | None = None

    @property
    def references(self) -> list[np.ndarray]:
        """Log-probabilities under each of the references, K times float32 [T]."""
        return [tokens.log_prob for tokens in self.reference_tokens]

    def with_references(self, kept: np.ndarray | slice) -> TokenTable:
        """The same target with some of its references."""
        numbers = np.arange(len(self.reference_tokens))[kept]
        return replace(self, reference_tokens=[self.reference_tokens[number] for number in numbers])

    def with_target(self, number: int, kept: np.ndarray) -> TokenTable:
        """Reference ``number`` as the target, with those of the others that are kept."""
        return replace(self.with_references(kept), target=self.reference_tokens[number])
