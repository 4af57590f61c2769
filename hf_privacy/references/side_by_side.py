"""One pass through the model for the batches of several trainings of adapters: gradients as each alone would have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from hf_privacy.arrays import IGNORED
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.training_steps import training_steps
from hf_privacy.models import ScoredTokens, bare_model
from hf_privacy.models.adapter_stack import AdapterStack, RandomStream
from hf_privacy.tasks.causal_lm import PLACES

Batch = dict[str, torch.Tensor]
_FILLING = {"attention_mask": 0, "labels": IGNORED}
# What says something of the batch, and not of each of its rows alike: made anew for a joined one.
_OF_A_BATCH = ("attention_mask", PLACES)


class OwnPassError(Exception):
    """A loss did not ask for what its model says of the batch: it runs the model in its own way."""


class OneOfSeveral:
    """One of the trainings: how far it is, and on which batch it goes on.

    Parameters
    ----------
    clone : PrivacyTrainer
        As `hf_privacy.references.reference_trainer` makes it; not trained yet.
    number : int
        Its place among the models of a stack.
    """

    def __init__(self, clone: PrivacyTrainer, number: int = 0) -> None:
        self.clone, self.number = clone, number
        self.stream = RandomStream(clone.args.seed, clone.args.device)
        self.inputs: Batch = {}
        self._steps, self._share = training_steps(clone), 1.0

    def advance(self) -> bool:
        """Go on to the next batch, by a step of the optimizer where one is due; False where training has ended."""
        with self.stream:
            following = next(self._steps, None)
        if following is None:
            return False
        self.inputs, self._share = following
        return True

    def loss(self, inputs: Batch) -> torch.Tensor:
        """The defended loss of a batch, as its share of the step of the optimizer."""
        with self.stream:
            loss, _ = self.clone.training_loss(self.clone.model, inputs)
        return loss * self._share


def alike(trainings: Sequence[OneOfSeveral], *, draws: bool) -> list[list[OneOfSeveral]]:
    """The trainings by what can be in one batch: rows of one shape where dropout or the padding asks for it."""
    groups: dict[Any, list[OneOfSeveral]] = {}
    for training in trainings:
        inputs = training.inputs
        exact = draws or training.clone.train_dataset.padding_side == "left"
        key = (
            tuple((name, inputs[name].shape) for name in sorted(inputs) if name not in _OF_A_BATCH) if exact else None
        )
        groups.setdefault(key, []).append(training)
    return list(groups.values())


def backward(stack: AdapterStack, trainings: Sequence[OneOfSeveral], batches: Sequence[Batch], *, draws: bool) -> None:
    """Add the gradients of these trainings' losses, each on its batch, to those of their weights.

    Parameters
    ----------
    stack : AdapterStack
        Of their models and others.
    trainings, batches : sequences of equal length
        Of one group of `alike`.
    draws : bool
        Whether a pass draws at random: then each training draws from its own stream.

    Raises
    ------
    OwnPassError
        See there; some gradients are added then.
    """
    first = trainings[0].clone
    with first.compute_loss_context_manager():
        if len(trainings) == 1:
            trainings[0].loss(batches[0]).backward()
            return
        joined, n_rows = joined_batches(batches, pad=_pad_token(first.model))
        numbers = [training.number for training in trainings]
        with stack.run(numbers, [training.stream for training in trainings] if draws else None) as model:
            outputs = first.task.forward(model, joined)
        losses, n_before = [], 0
        for place, (training, inputs) in enumerate(zip(trainings, batches, strict=True)):
            rows = slice(place * n_rows, place * n_rows + len(inputs["labels"]))
            if isinstance(outputs, ScoredTokens):
                n_tokens = len(inputs[PLACES])
                own = outputs.part(slice(n_before, n_before + n_tokens), rows)
                n_before += n_tokens
            else:
                own = {"logits": outputs["logits"][rows]}
            with _given(training.clone, inputs, own) as taken:
                losses.append(training.loss(inputs))
            if not taken:
                raise OwnPassError
    torch.stack(losses).sum().backward()
    stack.hand_out(numbers)


@contextmanager
def _given(clone: PrivacyTrainer, inputs: Batch, outputs: Any) -> Iterator[list[bool]]:
    """Inside, the trainer is told once what its model says of the batch, and does not run it for that.

    What it asks of a model without gradients, as of the one it started from, it asks of the model itself.
    """
    taken: list[bool] = []
    plain = clone.forward_without_labels

    def forward(model: nn.Module, batch: Batch) -> Any:
        if model is clone.model and batch is inputs and torch.is_grad_enabled() and not taken:
            taken.append(True)
            return outputs
        return plain(model, batch)

    vars(clone)["forward_without_labels"] = forward
    try:
        yield taken
    finally:
        del vars(clone)["forward_without_labels"]


def joined_batches(batches: Sequence[Batch], *, pad: int) -> tuple[Batch, int]:
    """One batch of a block for each, of one length and so many rows; a shorter block repeats its first row.

    Of a causal language model the places of scored tokens are those of the rows themselves, none of a repeated one.

    Parameters
    ----------
    batches : sequence of dict of tensor
        As a task has located them; one without an attention mask masks nothing.
    pad : int
        The token that longer rows are padded with.

    Examples
    --------
    >>> short = {"input_ids": torch.tensor([[5]]), "labels": torch.tensor([1])}
    >>> long = {"input_ids": torch.tensor([[6, 7], [8, 9]]), "labels": torch.tensor([0, 1])}
    >>> joined, n_rows = joined_batches([short, long], pad=3)
    >>> joined["input_ids"].tolist(), joined["attention_mask"].tolist(), joined["labels"].tolist()
    ([[5, 3], [5, 3], [6, 7], [8, 9]], [[1, 0], [1, 0], [1, 1], [1, 1]], [1, 1, 0, 1])
    """
    n_rows = max(len(batch["labels"]) for batch in batches)
    lengths = [batch["input_ids"].shape[1] if "input_ids" in batch else 0 for batch in batches]
    longest = max(lengths)
    names = [name for name in batches[0] if name not in _OF_A_BATCH]
    if "input_ids" in names and (min(lengths) < longest or any("attention_mask" in batch for batch in batches)):
        names.append("attention_mask")

    def block(name: str, batch: Batch, length: int) -> torch.Tensor:
        values = batch.get(name)
        if values is None:
            values = torch.ones_like(batch["input_ids"])  # a mask of what masks nothing
        if values.ndim == 2 and values.shape[1] == length < longest:
            filling = pad if name == "input_ids" else _FILLING.get(name, 0)
            values = F.pad(values, (0, longest - length), value=filling)
        missing = n_rows - len(values)
        return torch.cat([values, values[:1].expand(missing, *values.shape[1:])]) if missing else values

    each = list(zip(batches, lengths, strict=True))
    joined = {name: torch.cat([block(name, batch, length) for batch, length in each]) for name in names}
    if PLACES in batches[0]:
        joined[PLACES] = torch.cat(
            [
                (number * n_rows + batch[PLACES] // length) * longest + batch[PLACES] % length
                for number, (batch, length) in enumerate(each)
            ]
        )
    return joined, n_rows


def _pad_token(model: nn.Module) -> int:
    config = getattr(bare_model(model), "config", None)
    found = None if config is None else getattr(config.get_text_config(), "pad_token_id", None)
    return 0 if found is None else found
