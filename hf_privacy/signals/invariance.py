"""Whether an example's figure depends on the example and the weights alone: tried before anything rests on it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError, one_line
from hf_privacy.models.modes import bare_model, evaluation_mode, without_autocast
from hf_privacy.signals.curvature_model import full_precision

Inputs = dict[str, torch.Tensor]

# Most that a logit may move with batch or padding, in units of the largest logit. Float32 sums in another order move
# it by 1e-6 to 1e-5 of that; a wrong position, or a token of padding in a convolution, by a thousandth and far more.
TOLERANCE = 3e-4
_LOW_PRECISION_TOLERANCE = 5e-2


def extreme_rows(dataset: TensorDataset) -> list[int]:
    """Row numbers of the shortest and the longest text; of the first and the last row of anything else.

    Examples
    --------
    >>> extreme_rows(TensorDataset({"features": torch.zeros(5, 2)}))
    [0, 4]
    """
    if "attention_mask" not in dataset.column_names:
        return [0, len(dataset) - 1]
    lengths = torch.cat([piece.sum(dim=1) for piece in dataset.pieces("attention_mask")])
    return [int(lengths.argmin()), int(lengths.argmax())]


def extremes(dataset: TensorDataset) -> TensorDataset:
    """The rows of `extreme_rows`, without augmentation.

    Examples
    --------
    >>> mask = torch.tensor([[1, 1, 0], [1, 1, 1], [1, 0, 0]])
    >>> extremes(TensorDataset({"input_ids": mask, "attention_mask": mask})).column("input_ids")
    tensor([[1, 0, 0],
            [1, 1, 1]])
    """
    if "pixel_values" in dataset.column_names:
        dataset = dataset.with_augmentation(None)
    return dataset.subset(extreme_rows(dataset))


def unpadded(batch: Mapping[str, torch.Tensor], row: int) -> Inputs:
    """One row of a batch as a batch of its own, without the padding at its ends.

    Examples
    --------
    >>> batch = {"input_ids": torch.tensor([[5, 6, 0]]), "attention_mask": torch.tensor([[1, 1, 0]])}
    >>> unpadded(batch, 0)["input_ids"]
    tensor([[5, 6]])
    """
    return _cut(batch, row, 0)


def _cut(batch: Mapping[str, torch.Tensor], row: int, n_kept: int) -> Inputs:
    """One row, with so many columns of its padding."""
    one = {name: values[row : row + 1] for name, values in batch.items()}
    mask = one.get("attention_mask")
    if mask is None or mask.ndim != 2:
        return one
    places = mask[0].nonzero().flatten().tolist() or [0]
    first, last = places[0], places[-1] + 1
    right = min(n_kept, mask.shape[1] - last)
    span = slice(max(0, first - (n_kept - right)), last + right)
    return {name: values[:, span] if values.shape[:2] == mask.shape else values for name, values in one.items()}


def check_batch_independence(model: nn.Module, dataset: TensorDataset) -> None:
    """Refuse a model whose answer for an example moves with what else is in its batch.

    The shortest and the longest text (of other data: the first and the last row) are asked for alone and without
    padding, side by side, and the short one alone with padding of another length. Four forward passes of at most two
    examples, in evaluation mode; weights, modes and random state are left as they were.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` of shape [batch, C], or [batch, length, V].
    dataset : TensorDataset
        What the model is to be trained on or asked about; without rows there is nothing to try.

    Raises
    ------
    InputError
        When logits move by more than `TOLERANCE` of the largest one (a twentieth for weights in half precision), or
        the model cannot take two such examples at once; the message names the way out.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3))
    >>> check_batch_independence(model, TensorDataset({"features": torch.eye(4), "labels": torch.arange(4) % 3}))
    """
    if len(dataset) == 0:
        return
    bare = bare_model(model)
    weight = next(bare.parameters(), None)
    device = torch.device("cpu") if weight is None else weight.device
    pair = extremes(dataset).__getitems__([0, 1])
    pair = {name: values.to(device) for name, values in pair.items() if name != "labels"}
    state = torch.get_rng_state()
    try:
        with evaluation_mode(bare), without_autocast(bare), full_precision(device), torch.no_grad():
            what = "cannot be had alone"
            try:
                alone = torch.cat([answers(bare, _cut(pair, row, 0)) for row in (0, 1)])
                if not bool(alone.isfinite().all()):
                    return  # it has diverged, which is said where its signals are taken
                what = "cannot be had beside another"
                moved = float((answers(bare, pair) - alone).abs().max())
                longer = _cut(pair, 0, 1)
                if any(longer[name].shape != values[:1].shape for name, values in pair.items()):
                    moved = max(moved, float((answers(bare, longer) - alone[:1]).abs().max()))
            except torch.OutOfMemoryError:
                raise
            except (ValueError, RuntimeError, IndexError, TypeError, AttributeError) as error:
                raise InputError(_refusal(bare, pair, f"{what} ({one_line(error)})")) from error
    finally:
        torch.set_rng_state(state)
    low = weight is not None and weight.dtype in (torch.bfloat16, torch.float16)
    largest = float(alone.abs().max())
    if not moved <= (_LOW_PRECISION_TOLERANCE if low else TOLERANCE) * largest + 1e-6:
        share = f"{100 * moved / max(largest, 1e-30):.3g} % of its largest logit"
        raise InputError(_refusal(bare, pair, f"moves with what else is in the batch (by {share})"))


def answers(model: nn.Module, inputs: Inputs) -> torch.Tensor:
    """The logits of each row, float32 [B, C]; of a language model those after the row's last token.

    These read all tokens before them, and the place of each.
    """
    outputs = model(**inputs)
    logits = (outputs["logits"] if isinstance(outputs, Mapping) else outputs.logits).float()
    if logits.ndim != 3:
        return logits
    mask = inputs["attention_mask"]
    last = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(dim=1)
    return logits[torch.arange(len(logits), device=logits.device), last]


def _refusal(model: nn.Module, pair: Inputs, what: str) -> str:
    kind = "text" if "input_ids" in pair else "example"
    return f"the answer of {type(model).__name__} for one {kind} {what}: no {kind} has a figure of its own; " + (
        _way_out(model, pair)
    )


def _way_out(model: nn.Module, pair: Inputs) -> str:
    mask = pair.get("attention_mask")
    if mask is None or "input_ids" not in pair:
        return "use a model whose evaluation looks at one example at a time"
    config = getattr(model, "config", None)
    pad = None if config is None else getattr(config.get_text_config(), "pad_token_id", None)
    filling = pair["input_ids"][mask == 0].unique().tolist()
    if len(filling) == 1 and filling[0] != pad:
        return (
            f"the texts are padded with token {filling[0]} and model.config.pad_token_id is {pad}: set it to "
            f"{filling[0]} before training, and save it with the model"
        )
    if pad is None:
        return "model.config.pad_token_id is not set: set it to the tokenizer's, and save it with the model"
    if bool((mask[:, 0] == 0).any()):
        return "encode the texts with tokenizer.padding_side = 'right'"
    return "use another architecture (BERT, RoBERTa, DistilBERT, GPT-2 and Llama hold), or texts of one length"
