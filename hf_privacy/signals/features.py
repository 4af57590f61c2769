"""Penultimate features: what the last layer of a classifier sees of each example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import extract_model_from_parallel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn.modules.conv import _ConvNd

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models.head import head_layers, no_head
from hf_privacy.signals.batches import map_batches


def compute_features(
    model: nn.Module,
    dataset: TensorDataset,
    *,
    batch_size: int = 256,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Input of the classification layer for every example of `dataset`, in the dataset's order.

    The layer is the one of the model's head that gives one score per class: ``classifier`` of ViT, BERT and
    :class:`~hf_privacy.models.TabularMLPForClassification`, ``classifier.out_proj`` of RoBERTa, ``fc`` or ``head`` of
    a timm model, also inside a PEFT adapter. Where a head has several such layers (distilled models) their inputs are
    joined. The model runs as in :func:`~hf_privacy.signals.compute_signals`: evaluation mode, no gradients, each
    example once whatever the number of processes. The dataset needs no labels.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        A classifier, plain or wrapped by accelerate or ``torch.compile``.
    dataset : TensorDataset of N examples
    batch_size : int
        Examples per forward pass.
    accelerator : accelerate.Accelerator, optional
        Spreads the work over its processes; every process must make this call and gets the complete array.
    progress : bool
        Show a progress bar (main process only).

    Returns
    -------
    float32 array of shape [N, D]
        D is the width of the layer. Feature maps are averaged over space, and of a sequence of token features that
        token is taken whose class scores became the model's logits.

    Raises
    ------
    InputError
        For a model without a classification head, an empty dataset, features that are not finite, or a model sharded
        over processes.

    References
    ----------
    Bertran et al., 2023, "Scalable membership inference attacks via quantile regression" (arXiv 2307.03694): the
    covariates of the quantile regression. There a network of its own reads the raw inputs; the audited model's
    features are our choice.

    Examples
    --------
    >>> import torch
    >>> from hf_privacy.data import TensorDataset
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    >>> compute_features(model, TensorDataset({"features": torch.zeros(5, 4)})).shape
    (5, 8)
    """
    # The layers are found in the plain model: torch.compile does not run hooks that are added after compiling.
    plain = extract_model_from_parallel(model, keep_torch_compile=False)

    @torch.inference_mode()
    def features_of(model: nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        logits = model(**{name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}).logits
        features = last(logits).float().cpu().numpy()
        if not np.isfinite(features).all():
            raise InputError("the model's features have NaN or infinite values: it has diverged, train it again")
        return features

    with recorded_features(plain) as last:
        return map_batches(
            plain,
            dataset,
            features_of,
            batch_size=batch_size,
            accelerator=accelerator,
            progress=progress,
            description="features",
            axis=0,
        )


@contextmanager
def recorded_features(model: nn.Module) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """Give, inside, a function from the logits of the last forward pass to its penultimate features [batch, D].

    They are those of `compute_features`, with their gradients where the pass had them.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        The plain module, not what torch.compile or DDP made of it; a pass through these reaches it.

    Raises
    ------
    InputError
        For a model without a classification head.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    >>> with recorded_features(model) as features:
    ...     features(model(torch.zeros(5, 4)).logits).requires_grad
    True
    """
    with _recorded([layer for layers in head_layers(model).values() for layer in layers]) as calls:

        def last(logits: torch.Tensor) -> torch.Tensor:
            parts = [
                _one_row_each(x, scores, logits, class_dimension)
                for x, scores, class_dimension in calls
                if scores.shape[class_dimension] == logits.shape[-1]
            ]
            calls.clear()
            if not parts:
                raise no_head(model)
            return torch.cat(parts, dim=1)

        yield last


Call = tuple[torch.Tensor, torch.Tensor, int]  # a layer's input, its output, and the dimension of the classes


@contextmanager
def _recorded(layers: list[nn.Module]) -> Iterator[list[Call]]:
    """Note the input and output of each call of `layers`."""
    calls: list[Call] = []

    def note(layer: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        inner = layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer
        calls.append((arguments[0], output, 1 if isinstance(inner, _ConvNd) else output.ndim - 1))

    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _one_row_each(x: torch.Tensor, scores: torch.Tensor, logits: torch.Tensor, class_dimension: int) -> torch.Tensor:
    """A layer's input as [batch, D]."""
    if x.ndim == 3 and class_dimension == 2 and len(x) == len(logits):
        # GPT-2 and its like score every token and keep one; a mean would mix padding in.
        kept = (scores == logits[:, None]).all(dim=2)
        if kept.any(dim=1).all():
            return x[torch.arange(len(x), device=x.device), kept.int().argmax(dim=1)]
    feature_dimension = 1 if class_dimension == 1 else x.ndim - 1
    return x.movedim(feature_dimension, 1).flatten(2).mean(dim=2) if x.ndim > 2 else x
