"""Whether adapters side by side are what each is alone, tried on one batch; and how many of them memory holds."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.models.adapter_stack import AdapterStack
from hf_privacy.references.side_by_side import Batch, OneOfSeveral, OwnPassError, backward

# Of the weights' own start, one factor of a fresh adapter is 0 and hides what the other does.
_SHIFT = 0.02


def try_stack(stack: AdapterStack, trainings: Sequence[OneOfSeveral]) -> tuple[str | None, bool]:
    """Take the gradients of two of the trainings on one batch, alone and side by side, and leave all as it was.

    Returns
    -------
    reason : str or None
        Why they cannot be trained side by side, after "the references"; None where both ways agree to rounding.
    draws : bool
        Whether a pass draws at random, as dropout does.
    """
    pair, inputs = [trainings[0], trainings[-1]], trainings[0].inputs
    started = {name: weight.detach().clone() for name, weight in stack.weights.items()}
    states = [training.stream.state for training in pair]
    generator = torch.Generator().manual_seed(0)
    for weight in stack.weights.values():
        weight.data.add_(_SHIFT * torch.randn(weight.shape, generator=generator).to(weight))
    try:
        alone = [_gradients(stack, [training], inputs, draws=False)[0] for training in pair]
        draws = any(_differ(training.stream.state, state) for training, state in zip(pair, states, strict=True))
        _restore(pair, states)
        together = _gradients(stack, pair, inputs, draws=draws)
    except OwnPassError:
        return "have a loss that runs the model in its own way", False
    except (RuntimeError, TypeError, ValueError) as error:
        return (
            f"have a model that cannot run as one ({type(error).__name__}: {str(error).splitlines()[0]:.100})",
            False,
        )
    finally:
        _restore(pair, states)
        for name, weight in stack.weights.items():
            weight.data.copy_(started[name])
            weight.grad = None
        for training in pair:
            training.clone.model.zero_grad()
    allowed = _rounding(pair[0].clone)
    for one, other in zip(alone, together, strict=True):
        if one.shape != other.shape or not (one - other).norm() <= allowed * one.norm():
            return "have other gradients side by side than alone", False
    return None, draws


def most_at_once(training: OneOfSeveral) -> int:
    """How many such trainings' passes fit: into half of what a GPU has free, or an eighth of this machine's memory.

    Raises
    ------
    RuntimeError
        As the model's pass.
    """
    device = training.clone.args.device
    if device.type == "cuda":
        room = torch.cuda.mem_get_info(device)[0] // 2
    elif hasattr(os, "sysconf"):
        room = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8
    else:  # Windows does not say: as of a machine of 8 GiB
        room = 2**30
    return max(1, room // _bytes_of_a_pass(training))


def _bytes_of_a_pass(training: OneOfSeveral) -> int:
    """What a pass over a batch of the longest rows keeps for the way back."""
    clone, inputs, state = training.clone, training.inputs, training.stream.state
    held: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with clone.compute_loss_context_manager(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        training.loss(inputs)
    training.stream.state = state
    weights = {weight.untyped_storage().data_ptr() for weight in clone.model.parameters()}
    found = sum(size for place, size in held.items() if place not in weights)
    if "input_ids" in inputs:
        found = found * clone.train_dataset.column("input_ids").shape[1] // inputs["input_ids"].shape[1]
    return max(1, found)


def _gradients(
    stack: AdapterStack, trainings: Sequence[OneOfSeveral], inputs: Batch, *, draws: bool
) -> list[torch.Tensor]:
    backward(stack, trainings, [dict(inputs) for _ in trainings], draws=draws)
    found = []
    for training in trainings:
        weights = [weight for weight in training.clone.model.parameters() if weight.grad is not None]
        found.append(torch.cat([weight.grad.detach().flatten().double() for weight in weights]))
        training.clone.model.zero_grad()
    return found


def _differ(state: tuple, other: tuple) -> bool:
    return any(one is not None and not torch.equal(one, two) for one, two in zip(state, other, strict=True))


def _restore(trainings: Sequence[OneOfSeveral], states: Sequence[tuple]) -> None:
    for training, state in zip(trainings, states, strict=True):
        training.stream.state = state


def _rounding(clone: PrivacyTrainer) -> float:
    """How far apart, of 1, two orders of the same sums may lie in the coarsest precision of the model's passes."""
    dtypes = {weight.dtype for weight in clone.model.parameters() if weight.is_floating_point()}
    if clone.args.bf16:
        dtypes.add(torch.bfloat16)
    return max(torch.finfo(dtype).eps for dtype in dtypes) ** 0.5
