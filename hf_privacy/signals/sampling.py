"""What a language model draws: the probability of every scored token under a sampling scheme, and greedy text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from peft import PeftModel
from transformers import GenerationConfig, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from hf_privacy.arguments import check_number, check_whole
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models.modes import bare_model, evaluation_mode, without_autocast, without_tf32
from hf_privacy.progress import progress as with_progress
from hf_privacy.signals.batches import map_batches, refuse_unlabelled
from hf_privacy.tasks import task_of


def sampling_log_prob(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    temperature: float = 1.0,
    top_k: int | None = 40,
    top_p: float | None = None,
    batch_size: int = 16,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Log-probability of every scored token under a sampling scheme, each given the true tokens before it.

    Logits are divided by the temperature, then all but the k likeliest tokens are left out, then all but the fewest
    whose probabilities reach ``top_p``, and what is left is renormalised, as `transformers` samples. Nothing is drawn.

    Parameters
    ----------
    model : torch.nn.Module
        A causal language model; may be adapted or wrapped.
    dataset : TensorDataset of N rows
        As in `token_signals`.
    temperature : float
        Above 0.
    top_k : int, optional
        None for all tokens.
    top_p : float, optional
        In (0, 1]; None for all tokens.
    batch_size, accelerator, progress
        As in `token_signals`.

    Returns
    -------
    float32[T]
        In nats, at most 0, row after row as `TokenSignals.log_prob`; −∞ for a token that the scheme never draws.

    Raises
    ------
    InputError
        As `token_signals`; also for a scheme that is none.

    References
    ----------
    Hayes et al., "Measuring memorization in language models via probabilistic extraction" (arXiv 2410.19482).
    """
    task = task_of(model)
    if task.has_classes:
        raise InputError(f"{type(model).__name__} is for {task.name}: only a causal language model is sampled from")
    refuse_unlabelled(dataset, "sampling needs")
    warpers: list[Any] = [TemperatureLogitsWarper(check_number("temperature", temperature, 0.0, low_open=True))]
    if top_k is not None:
        warpers.append(TopKLogitsWarper(check_whole("top_k", top_k, at_least=1)))
    if top_p is not None and check_number("top_p", top_p, 0.0, 1.0, low_open=True) < 1.0:
        warpers.append(TopPLogitsWarper(float(top_p)))

    def drawn(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor]:
        for warper in warpers:
            logits = warper(None, logits)
        return (torch.log_softmax(logits, dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1),)

    @torch.inference_mode()
    def of_batch(model: torch.nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        scored = task.forward(model, {name: tensor.to(device) for name, tensor in batch.items()})
        return scored.map(drawn)[0].float().cpu().numpy()

    return map_batches(
        model,
        dataset,
        of_batch,
        batch_size=batch_size,
        accelerator=accelerator,
        progress=progress,
        description="sampling probabilities",
    )


def greedy_continuations(
    model: torch.nn.Module,
    prefixes: Sequence[np.ndarray],
    *,
    n_tokens: int,
    batch_size: int = 16,
    progress: bool = False,
) -> list[np.ndarray]:
    """The tokens that greedy decoding writes after each prefix; also past an end-of-text token.

    Nothing else shapes them: of the model's own generation settings (repetition penalties, forced tokens) none is
    used.

    Parameters
    ----------
    model : torch.nn.Module
        A causal language model; may be adapted or wrapped.
    prefixes : sequence of int64 arrays
        Token ids of each prefix, at least one.
    n_tokens : int
        How many are written after each.
    batch_size : int
        Prefixes at a time, padded on the left.
    progress : bool

    Returns
    -------
    list of int64[n_tokens]

    Raises
    ------
    InputError
        For an empty prefix, or a model that is no causal language model.
    """
    check_whole("n_tokens", n_tokens, at_least=1)
    if task_of(model).has_classes:
        raise InputError(f"{type(model).__name__} is no causal language model: it writes no text")
    empty = sum(len(prefix) == 0 for prefix in prefixes)
    if empty:
        raise InputError(f"{empty:,} of {len(prefixes):,} prefixes are empty: pass at least one token each")
    written: list[np.ndarray] = []
    with _writer(model) as writer, torch.inference_mode():
        device = next(writer.parameters()).device
        starts = range(0, len(prefixes), check_whole("batch_size", batch_size, at_least=1))
        for start in with_progress(starts, description="greedy text", enabled=progress):
            some = [torch.as_tensor(prefix) for prefix in prefixes[start : start + batch_size]]
            ids = torch.nn.utils.rnn.pad_sequence(some, batch_first=True, padding_side="left")
            ones = [torch.ones_like(prefix) for prefix in some]
            mask = torch.nn.utils.rnn.pad_sequence(ones, batch_first=True, padding_side="left")
            made = writer.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=GenerationConfig(
                    do_sample=False, max_new_tokens=n_tokens, min_new_tokens=n_tokens, pad_token_id=0
                ),
            )
            written.extend(made[:, ids.shape[1] :].cpu().numpy())
    return written


@contextmanager
def _writer(model: torch.nn.Module) -> Iterator[Any]:
    """The model that generates, its adapter as it is, in evaluation mode, without generation settings of its own."""
    bare = bare_model(model)
    # An adapter's layers stand inside the model that it adapts.
    writer = bare.get_base_model() if isinstance(bare, PeftModel) else bare
    own = writer.generation_config
    cached = writer.config.use_cache
    writer.generation_config = GenerationConfig()
    writer.config.use_cache = True
    try:
        with evaluation_mode(bare), without_autocast(model), without_tf32():
            yield writer
    finally:
        writer.generation_config = own
        writer.config.use_cache = cached
