"""One pass of a causal language model over a dataset gives what every attack reads of every scored token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import IGNORED
from hf_privacy.signals.batches import map_batches, refuse_unlabelled, rows_a_pass
from hf_privacy.signals.curvature_dataset import compute_curvature
from hf_privacy.signals.extract import compute_signals
from hf_privacy.signals.log_curvature import log_curvature
from hf_privacy.tasks import task_of
from hf_privacy.tasks.token_values import example_values, token_values


@dataclass(frozen=True)
class TokenSignals:
    """What a model says of each scored token of N rows: flat arrays of length T, row after row.

    Attributes
    ----------
    log_prob : float32 array of shape [T]
        ln p of the token, in nats.
    mean, variance : float32 array of shape [T]
        Of ln p under the model's own distribution: minus the entropy, and its spread.
    greedy : bool array of shape [T]
        Whether greedy decoding would give the token.
    offsets : int64 array of shape [N + 1]
        Row i's tokens are those from ``offsets[i]`` to ``offsets[i + 1]``.

    Examples
    --------
    >>> one = np.zeros(3, dtype=np.float32)
    >>> tokens = TokenSignals(one, one, one, one == 0, np.array([0, 2, 3]))
    >>> tokens.rows([1]).offsets, tokens.examples()["n_tokens"]
    (array([0, 1]), array([2., 1.]))
    """

    log_prob: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    greedy: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.offsets) - 1

    def rows(self, indices: np.ndarray | list[int]) -> TokenSignals:
        """Of these rows alone, in this order."""
        counts = np.diff(self.offsets)[indices]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        places = np.repeat(self.offsets[:-1][indices] - offsets[:-1], counts) + np.arange(offsets[-1])
        kept = (values[places] for values in (self.log_prob, self.mean, self.variance, self.greedy))
        return TokenSignals(*kept, offsets)

    def examples(self) -> dict[str, np.ndarray]:
        """Signals of each row, float64 [N]; see `hf_privacy.tasks.token_values.example_values`."""
        return example_values(self.log_prob, self.mean, self.variance, self.greedy, self.offsets)


def scored_offsets(dataset: TensorDataset) -> np.ndarray:
    """Where each row's scored tokens begin and end among those of all rows: int64 [N + 1], the same for every model.

    Examples
    --------
    >>> labels = torch.tensor([[5, 6, 7], [5, -100, 7]])
    >>> scored_offsets(TensorDataset({"labels": labels}))
    array([0, 2, 3])
    """
    counts = (dataset.column("labels")[:, 1:] != IGNORED).sum(dim=1).numpy()
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def signals_and_tokens(
    model: torch.nn.Module, dataset: TensorDataset, *, batch_size: int = 256, **passes: Any
) -> tuple[dict[str, np.ndarray], TokenSignals | None]:
    """What `compute_signals` gives, float64 [Q, N], and of a causal language model those of tokens too: in one pass.

    Parameters
    ----------
    model, dataset
    batch_size : int
        Most rows a forward pass; of a language model no more than make `hf_privacy.signals.batches.TOKENS_A_PASS`.
    **passes
        Of `compute_signals`; of a language model ``curvature``, ``accelerator`` and ``progress``, for it is asked one
        query alone.
    """
    if task_of(model).has_classes:
        return compute_signals(model, dataset, batch_size=batch_size, **passes), None
    known = {name: passes[name] for name in ("accelerator", "progress") if name in passes}
    tokens = token_signals(model, dataset, batch_size=rows_a_pass(dataset, batch_size), **known)
    signals, curvature = tokens.examples(), passes.get("curvature")
    if curvature is not None:
        found = compute_curvature(model, dataset, curvature=curvature, batch_size=batch_size, **known)
        signals |= log_curvature(found)
    return {name: values[None] for name, values in signals.items()}, tokens


def token_signals(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    batch_size: int = 16,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> TokenSignals:
    """Signals of every scored token of `dataset` under `model`, in the dataset's order.

    In evaluation mode, without dropout, and in float32 from the logits on, also for a model in bfloat16 or one in
    training. Batch size, order and padding move the values by rounding alone. The logits of a chunk of tokens are in
    memory at once, never those of a batch.

    Parameters
    ----------
    model : torch.nn.Module
        A causal language model; may be adapted or wrapped.
    dataset : TensorDataset of N rows
        As `hf_privacy.data.encode_language` makes it: "input_ids", "attention_mask" and "labels", each [N, L].
    batch_size : int
        Rows a forward pass.
    accelerator, progress
        As in `hf_privacy.signals.compute_signals`.

    Raises
    ------
    InputError
        For a model that is no causal language model, an empty dataset, one without labels, rows without a scored
        token, or log-probabilities that are not finite.
    """
    task = task_of(model)
    if task.has_classes:
        raise InputError(f"{type(model).__name__} is for {task.name}: token_signals ask a causal language model")
    refuse_unlabelled(dataset, "signals need")

    @torch.inference_mode()
    def signals_of(model: torch.nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        values = token_values(task.forward(model, {name: tensor.to(device) for name, tensor in batch.items()}))
        return np.stack([part.float().cpu().numpy() for part in values])

    log_prob, mean, variance, greedy = map_batches(
        model,
        dataset,
        signals_of,
        batch_size=batch_size,
        accelerator=accelerator,
        progress=progress,
        description="signals of tokens",
    )
    if not np.isfinite(log_prob).all():
        n_bad = int((~np.isfinite(log_prob)).sum())
        raise InputError(
            f"{n_bad:,} of {len(log_prob):,} scored tokens have no finite log-probability: the model has diverged; "
            "lower its learning rate or load other weights"
        )
    return TokenSignals(log_prob, mean, variance, greedy.astype(bool), scored_offsets(dataset))
