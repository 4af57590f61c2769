"""Does the model take the data? One dry forward, before anything is trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError, one_line
from hf_privacy.models import IGNORED, bare_model, evaluation_mode, position_limit, scored_positions
from hf_privacy.signals.invariance import answers, check_batch_independence, extreme_rows
from hf_privacy.tasks import task_of

# What the libraries raise for inputs of another size, or too many of them.
_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError, KeyError, AttributeError)


def check_fit(model: nn.Module, dataset: TensorDataset) -> None:
    """Refuse data that the model cannot take: sizes, tokens, positions and classes, by a forward pass of two rows.

    The rows are the shortest and the longest. The model keeps its mode, and the random state stays as it was.

    Parameters
    ----------
    model : torch.nn.Module
        On any device, possibly wrapped.
    dataset : TensorDataset
        Encoded inputs, and "labels" where there are any.

    Raises
    ------
    InputError
        For labels or token ids that the model has no row for, rows without a scored token, texts longer than its
        position table, inputs of a shape it cannot take, logits that are not finite, and answers that move with the
        rest of the batch (see `check_batch_independence`).

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, num_labels=3))
    >>> check_fit(model, TensorDataset({"features": torch.zeros(2, 5), "labels": torch.tensor([0, 1])}))
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: TabularMLPForClassification cannot take features of shape 5: ...
    """
    if len(dataset) == 0:
        return
    bare = bare_model(model)
    _check_labels(bare, dataset)
    _check_tokens(bare, dataset)
    limit = position_limit(bare)
    with torch.random.fork_rng(devices=[]):  # an augmentation draws
        batch = dataset.subset(extreme_rows(dataset)).__getitems__([0, 1])
    longest = int(batch["attention_mask"][1].sum()) if "attention_mask" in batch else 0
    if limit is not None and longest > limit:
        raise InputError(
            f"the longest text has {longest} tokens and {type(bare).__name__} has positions for {limit}: "
            f"encode with max_length={limit} or less"
        )
    device = next(bare.parameters()).device
    inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), evaluation_mode(bare), torch.no_grad():
        try:
            # One at a time: what two of them do to each other is the business of `check_batch_independence`.
            logits = torch.cat(
                [answers(bare, {name: column[row : row + 1] for name, column in inputs.items()}) for row in (0, 1)]
            )
        except _ERRORS as error:
            raise InputError(f"{_cannot_take(bare, inputs)}: {one_line(error)}") from error
    if task_of(bare).has_classes:
        n_classes = _n_classes(bare)
        if logits.ndim != 2 or (n_classes is not None and logits.shape[1] != n_classes):
            raise InputError(
                f"{type(bare).__name__} answers {tuple(logits.shape)} for 2 rows: pass a model with one logit "
                "for each class"
            )
    if not bool(torch.isfinite(logits).all()):
        raise InputError(
            f"{type(bare).__name__} answers with NaN or infinite logits before any training: its weights, or the "
            "inputs, are broken"
        )
    check_batch_independence(bare, dataset)


def _check_labels(model: nn.Module, dataset: TensorDataset) -> None:
    n_classes = _n_classes(model)
    if "labels" not in dataset.column_names:
        return
    if not task_of(model).has_classes:
        for labels, input_ids in zip(dataset.pieces("labels"), dataset.pieces("input_ids"), strict=False):
            _check_token_labels(labels, input_ids)
        if not all(bool(mask[:, 0].all()) for mask in dataset.pieces("attention_mask")):
            raise InputError("the rows are padded on the left: a language model's are padded on the right")
        return
    labels = dataset.column("labels")
    if n_classes is None:
        return
    if labels.is_floating_point() or labels.ndim != 1:
        raise InputError(
            f"labels have shape {tuple(labels.shape)} and type {str(labels.dtype)[6:]}: pass one whole number a row"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= n_classes:
        raise InputError(
            f"labels go from {int(labels.min())} to {int(labels.max())} and the model has {n_classes} classes (0 to "
            f"{n_classes - 1}): number them with hf_privacy.data.number_classes, or build the model with as many"
        )


def _check_token_labels(labels: torch.Tensor, input_ids: torch.Tensor) -> None:
    if labels.shape != input_ids.shape or labels.ndim != 2:
        raise InputError(
            f"labels have shape {tuple(labels.shape)} and input_ids {tuple(input_ids.shape)}: for a language model "
            f"pass each row's own tokens, {IGNORED} where they are not scored (hf_privacy.data.encode_language)"
        )
    if bool(((labels != input_ids) & (labels != IGNORED)).any()):
        raise InputError(
            f"labels differ from input_ids where they are not {IGNORED}: pass each row's own tokens, not shifted; the "
            "loss tells a token from those before it"
        )
    scored_positions(labels)  # refuses rows without one


def _check_tokens(model: nn.Module, dataset: TensorDataset) -> None:
    embedding = _input_embedding(model)
    if "input_ids" not in dataset.column_names or not isinstance(embedding, nn.Embedding):
        return
    ends = torch.stack([torch.stack(piece.aminmax()) for piece in dataset.pieces("input_ids")])
    if int(ends.min()) < 0 or int(ends.max()) >= embedding.num_embeddings:
        raise InputError(
            f"token ids go up to {int(ends.max())} and the model embeds {embedding.num_embeddings} (0 to "
            f"{embedding.num_embeddings - 1}): encode with the tokenizer that belongs to the checkpoint"
        )


def _input_embedding(model: nn.Module) -> Any:
    try:
        return model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None


def _n_classes(model: nn.Module) -> int | None:
    return getattr(getattr(model, "config", None), "num_labels", None)


def _cannot_take(model: nn.Module, inputs: dict[str, torch.Tensor]) -> str:
    shapes = ", ".join(f"{name} of shape {'×'.join(map(str, tensor.shape[1:]))}" for name, tensor in inputs.items())
    return f"{type(model).__name__} cannot take {shapes}"
