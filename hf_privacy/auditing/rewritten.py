"""Attacks on a language model that ask it about the rows written otherwise: in lower case, behind other rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_privacy.data import TensorDataset, behind, lowered, shot_prefix
from hf_privacy.models import bare_model, context_length
from hf_privacy.progress import progress
from hf_privacy.signals import signals_and_tokens

N_SHOTS = 10
_ROWS_A_PASS = 2048  # written anew at a time: rows behind ten others are ten times as long


def rewritten_losses(
    model: torch.nn.Module,
    evaluated: TensorDataset,
    n_pool: int,
    tokenizer: PreTrainedTokenizerBase | None,
    *,
    batch_size: int,
    show_progress: bool,
) -> dict[str, np.ndarray]:
    """Mean loss of each row of the pool over its scored tokens, float64 [N], by two further passes of the model.

    Parameters
    ----------
    model : torch.nn.Module
        A causal language model.
    evaluated : TensorDataset
        The pool, then the population.
    n_pool : int
    tokenizer : PreTrainedTokenizerBase, optional
    batch_size, show_progress

    Returns
    -------
    dict of str to float64 array
        "lowercase_loss", of the lowered text, where there is a tokenizer; "recall_loss", behind `N_SHOTS` rows of the
        population or as many as fit, where one was set aside and any fits.
    """
    pool, population = evaluated.subset(np.arange(n_pool)), evaluated.subset(np.arange(n_pool, len(evaluated)))
    longest = context_length(model)

    def losses(rewrite: Callable[[TensorDataset], TensorDataset], description: str) -> np.ndarray:
        parts = []
        for start in progress(range(0, n_pool, _ROWS_A_PASS), description=description, enabled=show_progress):
            rows = pool.subset(np.arange(start, min(start + _ROWS_A_PASS, n_pool)))
            parts.append(signals_and_tokens(model, rewrite(rows), batch_size=batch_size)[0]["loss"][0])
        return np.concatenate(parts)

    found = {}
    if tokenizer is not None:
        found["lowercase_loss"] = losses(lambda rows: lowered(rows, tokenizer, max_length=longest), "in lower case")
    if len(population):
        bos = bare_model(model).config.get_text_config().bos_token_id if tokenizer is None else tokenizer.bos_token_id
        prefix = shot_prefix(pool, population, n_shots=N_SHOTS, bos=bos, max_length=longest)
        if prefix.n_shots:
            found["recall_loss"] = losses(lambda rows: behind(rows, prefix), "behind rows of the population")
    return found
