"""HAMP at prediction time: the scores given out are those of a random input, in the order of the true ones."""

from __future__ import annotations

import copy
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import evaluation_mode

SCORES_FILE = "hamp_random_scores.safetensors"


def defended_model(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    n_random_inputs: int = 1000,
    batch_size: int = 256,
    seed: int = 0,
) -> torch.nn.Module:
    """A view of ``model`` whose logits tell the order of the classes and nothing else about the input.

    The logits of random inputs are computed once and sorted. A query's own logits give the order of the classes; the
    order alone also picks one of the random inputs (by a hash), whose logits are then given out in that order. So the
    largest logit stays where it was, and everything that is answered is a function of the order: asking again, or in
    another batch, gives the same answer, and nothing can be averaged out.

    The view shares its weights with ``model`` and is of the same class, so that whatever takes the model takes it too,
    `hf_privacy.audit` first of all: ``audit(trainer.defended_model(), …, trainer=trainer)``. Losses, hidden states and
    attentions are not given out. While training (``view.train()``) it passes the true logits.

    A report on the view speaks of those who may only ask it. Whoever has the weights can take the view off, so the
    gate must not let the weights through with the view's report: ``view.save_pretrained`` (which an audit hashes)
    writes the random scores beside the weights, so that the view's hash is never that of the plain model.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` [B, C]; a transformers model or PEFT adapter, not wrapped for training.
    dataset : TensorDataset
        Whose inputs the random ones are to look like, see `random_inputs`.
    n_random_inputs : int
        The more, the more the answers vary.
    batch_size : int
    seed : int
        Of the random inputs and the hash.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    InputError
        If all random inputs have tied logits, so that no order could be kept.

    References
    ----------
    Chen & Pattabiraman (2024), arXiv 2307.01610. The authors draw one random input anew for each query;
    here a fixed set and a hash of the order, so that an audit can be repeated.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3)).eval()
    >>> data = TensorDataset({"features": torch.randn(8, 4), "labels": torch.zeros(8, dtype=torch.long)})
    >>> defended = defended_model(model, data, n_random_inputs=50)
    >>> true, given = (m(data.column("features")).logits for m in (model, defended))
    >>> bool((true.argsort() == given.argsort()).all()), bool((true == given).any())
    (True, False)
    """
    generator = torch.Generator().manual_seed(seed)
    scores = _sorted_random_scores(model, dataset, n_random_inputs, batch_size, generator)
    multipliers = torch.randint(1, 2**31, (scores.shape[1],), generator=generator)

    def answer(module: torch.nn.Module, arguments: Any, output: Any) -> Any:
        if module.training:
            return output
        # Of equal logits the first class comes first, which is the one argmax names.
        order = output["logits"].detach().sort(dim=1, descending=True, stable=True).indices
        hashed = ((order * multipliers.to(order.device)).sum(dim=1) >> 7) % len(scores)
        given = scores.to(order.device)[hashed]
        return SequenceClassifierOutput(logits=torch.empty_like(given).scatter_(1, order, given))

    view = copy.copy(model)  # shares modules and weights
    # Hooks of its own, or the model itself would answer so too.
    view._forward_hooks = OrderedDict(model._forward_hooks)
    view._forward_hooks_with_kwargs = OrderedDict(model._forward_hooks_with_kwargs)
    view._forward_hooks_always_called = OrderedDict(model._forward_hooks_always_called)
    view.register_forward_hook(answer)

    def save_pretrained(save_directory: str | Path, **options: Any) -> None:
        model.save_pretrained(save_directory, **options)
        write_atomically(Path(save_directory) / SCORES_FILE, save({"scores": scores}))

    view.save_pretrained = save_pretrained
    return view


def random_inputs(dataset: TensorDataset, n: int, *, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Inputs without meaning, of the shapes and ranges of the dataset's.

    Parameters
    ----------
    dataset : TensorDataset
        Every column but "labels" is mimicked.
    n : int
    generator : torch.Generator

    Returns
    -------
    dict of str to tensor of shape [n, ...]
        "pixel_values": each value uniform between the lowest and highest of its channel. Other floating columns: fair
        coins where the column holds only 0 and 1, else each feature uniform between its lowest and highest.
        "input_ids": uniform among the token ids that occur; padding, and a position that holds the same token in every
        row, such as the first of BERT, keep theirs. Other columns (masks): those of rows drawn at random.

    Examples
    --------
    >>> data = TensorDataset({"features": torch.eye(4), "labels": torch.zeros(4, dtype=torch.long)})
    >>> random_inputs(data, 3, generator=torch.Generator().manual_seed(0))["features"].unique().tolist()
    [0.0, 1.0]
    """
    rows = torch.randint(len(dataset), (n,), generator=generator)
    inputs = {}
    for name in dataset.column_names:
        if name == "labels":
            continue
        if dataset.dtype(name).is_floating_point:
            inputs[name] = _random_floats(dataset, name, n, generator)
        elif name == "input_ids":
            inputs[name] = _random_tokens(dataset, rows, generator)
        else:
            inputs[name] = dataset.subset(rows).column(name)
    return inputs


def _random_floats(dataset: TensorDataset, name: str, n: int, generator: torch.Generator) -> torch.Tensor:
    dtype, shape = dataset.dtype(name), dataset.row_shape(name)
    uniform = torch.rand((n, *shape), generator=generator, dtype=torch.float64)
    # Of an image the range is the channel's, of a table the feature's.
    others = [0, 2, 3] if len(shape) == 3 else [0]
    lows, highs, coins = [], [], True
    for piece in dataset.pieces(name):
        coins = coins and bool(((piece == 0) | (piece == 1)).all())
        lows.append(piece.amin(dim=others, keepdim=True))
        highs.append(piece.amax(dim=others, keepdim=True))
    if coins:
        return (uniform < 0.5).to(dtype)
    low, high = torch.cat(lows).amin(dim=0, keepdim=True), torch.cat(highs).amax(dim=0, keepdim=True)
    return (low + uniform * (high - low).double()).to(dtype)


def _random_tokens(dataset: TensorDataset, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    tokens = dataset.column("input_ids")
    if "attention_mask" in dataset.column_names:
        is_text = dataset.column("attention_mask").bool()
    else:
        is_text = torch.ones_like(tokens, dtype=torch.bool)
    known = tokens[is_text].unique()
    drawn = known[torch.randint(len(known), (len(rows), tokens.shape[1]), generator=generator)]
    # Padding stays padding: some models look for the last token that is none.
    is_free = is_text & (tokens != tokens[:1]).any(dim=0)
    return torch.where(is_free[rows], drawn, tokens[rows])


def _sorted_random_scores(
    model: torch.nn.Module, dataset: TensorDataset, n: int, batch_size: int, generator: torch.Generator
) -> torch.Tensor:
    """Logits of random inputs from high to low, float32 [at most n, C]; rows with ties are left out."""
    if n < 1:
        raise InputError(f"n_random_inputs is {n}: pass a whole number above 0")
    if len(dataset) == 0:
        raise InputError("dataset is empty: pass at least one example that random inputs can mimic")
    inputs = random_inputs(dataset, n, generator=generator)
    device = next(model.parameters()).device
    logits = []
    with evaluation_mode(model), torch.inference_mode():
        for start in range(0, n, batch_size):
            batch = {name: tensor[start : start + batch_size].to(device) for name, tensor in inputs.items()}
            logits.append(model(**batch)["logits"].float().cpu())
    scores = torch.cat(logits).sort(dim=1, descending=True).values.clone()
    scores = scores[(scores.diff(dim=1) < 0).all(dim=1)]
    if len(scores) == 0:
        raise InputError(
            f"the model gives tied logits to each of {n} random inputs: no order of the classes could be kept; check "
            "that it is trained, and raise n_random_inputs"
        )
    return scores
