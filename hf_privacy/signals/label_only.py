"""Which augmented views of each example the model classifies correctly: all a label-only attack may see."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from accelerate import Accelerator
from transformers import PreTrainedTokenizerBase

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals.batches import map_batches, refuse_unlabelled
from hf_privacy.signals.queries import Query, augmented_queries
from hf_privacy.tasks.class_signals import signals_from_logits


def label_only_correct(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    queries: Mapping[str, Query] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
    batch_size: int = 256,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Whether the model's predicted class is the label, under each of several views of each example.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` of shape [batch, C]; runs as in
        :func:`~hf_privacy.signals.compute_signals`.
    dataset : TensorDataset of N examples
        With a ``labels`` column. The views act on the encoded tensors (normalised pixels, token numbers, features).
    queries : mapping of str to callable, optional
        By default those of :func:`~hf_privacy.signals.augmented_queries`: for images identity, mirror image and the
        four moves by one pixel; for text and tables identity and random hiding or noise.
    tokenizer : PreTrainedTokenizerBase, optional
        For the default queries of text: with a mask token, tokens are masked instead of withheld from attention.
    seed : int
        For the random default queries.
    batch_size, accelerator, progress
        As in :func:`~hf_privacy.signals.compute_signals`.

    Returns
    -------
    float64 array of shape [Q, N]
        1.0 where correct, else 0.0 (of equal largest logits the first class counts, as argmax has it); rows in the
        order of `queries`. The same whatever the order of the examples and the size of the batches.

    Raises
    ------
    InputError
        For data without labels or of another kind, bad labels, logits that are not finite, or no queries.

    References
    ----------
    Choquette-Choo et al., 2021, "Label-only membership inference attacks" (arXiv 2007.14321), section 4.1.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    >>> dataset = TensorDataset({"features": torch.eye(4), "labels": torch.tensor([0, 1, 2, 0])})
    >>> label_only_correct(model, dataset).shape
    (13, 4)
    """
    refuse_unlabelled(dataset, "correctness needs")
    if queries is None:
        queries = augmented_queries(dataset, tokenizer=tokenizer, seed=seed)
    if not isinstance(queries, Mapping) or not queries:
        raise InputError(f"queries is {queries!r}: pass a dictionary of functions, such as augmented_queries gives")
    views = list(queries.values())

    @torch.inference_mode()
    def correct_of(model: torch.nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        rows = []
        for view in views:
            logits = model(**{name: tensor.to(device) for name, tensor in view(inputs).items()}).logits.cpu()
            rows.append(signals_from_logits(logits, batch["labels"])["correct"].numpy())
        return np.stack(rows)

    return map_batches(
        model,
        dataset,
        correct_of,
        batch_size=batch_size,
        accelerator=accelerator,
        progress=progress,
        description=f"{len(views)} label-only queries",
    )
