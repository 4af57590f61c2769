"""The part of an audit's table that holds every scored token of language models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from hf_privacy.data import TensorDataset
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


def token_counts(table: TokenTable, membership: np.ndarray, rows: TensorDataset) -> dict[str, Any]:
    """The report's counts of tokens, over the audited rows.

    Parameters
    ----------
    table : TokenTable
    membership : bool array of shape [N]
        Of the pool.
    rows : TensorDataset
        The pool's, then the population's.

    Returns
    -------
    dict
        "n_scored" by side; "n_total", prompts included; "mean_row" and "longest_row" in tokens; "n_truncated" rows,
        None where nobody counted; "max_length" at which they were cut, None where none was.
    """
    scored, lengths = np.diff(table.offsets), rows.column("attention_mask").sum(dim=1).numpy()
    pool = scored[: len(membership)]
    return {
        "n_scored": {
            "members": int(pool[membership].sum()),
            "non_members": int(pool[~membership].sum()),
            "population": int(scored[len(membership) :].sum()),
        },
        "n_total": int(lengths.sum()),
        "mean_row": float(lengths.mean()),
        "longest_row": int(lengths.max()),
        "n_truncated": rows.truncated,
        "max_length": int(lengths.max()) if rows.truncated else None,
    }
