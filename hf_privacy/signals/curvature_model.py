"""What estimators of curvature need of a model: a precise loss, inputs as they are, and nothing left behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import one_hot, softplus

from hf_privacy.adversarial import EmbeddingSpace
from hf_privacy.errors import InputError, one_line
from hf_privacy.models.modes import without_tf32

# Columns of numbers that are moved as they are.
CONTINUOUS_COLUMNS = ("pixel_values", "features", "inputs_embeds")


@dataclass(frozen=True)
class AsGiven:
    """The values of one column just as the model is called with them, normalised pixels for instance.

    Has the methods of the spaces in :mod:`hf_privacy.adversarial` that curvature uses.
    """

    column: str

    def points(self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The column.

        Raises
        ------
        InputError
            When it is not of floating point.
        """
        values = inputs[self.column]
        if not values.is_floating_point():
            raise InputError(
                f"{self.column} has dtype {values.dtype}, in which no loss can be differentiated: pass floats"
            )
        return values.detach()

    def inputs(self, points: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """`inputs` with `points` in the column."""
        return {**inputs, self.column: points}

    def free(self, inputs: Mapping[str, torch.Tensor], points: torch.Tensor) -> torch.Tensor | None:
        """Which values may move: all, but the padding of texts."""
        return EmbeddingSpace().free(inputs, points) if self.column == "inputs_embeds" else None


def exact_dtype(device: torch.device) -> torch.dtype:
    """float64, for losses and sums; float32 on Apple's GPUs, which have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def cross_entropies(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each example, whose derivatives keep their relative precision however sure the model is.

    ln(1 + exp(−φ)) in float64 with φ = logit_y − logsumexp_{j≠y} logit_j. The textbook log-softmax has p_y − 1 in its
    gradient, which is 0 in float32 from p_y = 1 − 6e-8 on, where members mostly are.

    Raises
    ------
    InputError
        For logits that are not [B, C] with C ≥ 2, or labels outside 0..C − 1.

    Examples
    --------
    >>> cross_entropies(torch.tensor([[40.0, 0.0]]), torch.tensor([0])).item()
    4.248354255291589e-18
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise InputError(f"logits has shape {list(logits.shape)}: pass a classifier of two or more classes, [B, C]")
    outside = (labels < 0) | (labels >= logits.shape[1])
    if bool(outside.any()):
        raise InputError(
            f"labels has the class {int(labels[outside][0])} and the model has {logits.shape[1]} classes: "
            "pass class numbers from 0 to C − 1"
        )
    logits = logits.to(exact_dtype(logits.device))
    is_label = one_hot(labels, logits.shape[1]).bool()
    log_others = logits.masked_fill(is_label, -torch.inf).logsumexp(1)
    negative_phi = log_others - logits.gather(1, labels[:, None]).squeeze(1)
    # From its threshold on softplus is linear, with no second derivative: as far up as exp does not overflow.
    return softplus(negative_phi, threshold=0.98 * torch.log(torch.tensor(torch.finfo(logits.dtype).max)).item())


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Outside inference mode and autocast (which would reach the backward pass too), and without TF32."""
    with torch.inference_mode(False), torch.autocast(device.type, enabled=False), without_tf32():
        yield


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Attention by the kernel that can be differentiated twice; a clear error for what cannot be.

    Raises
    ------
    InputError
        When autograd knows no second derivative of an operation inside.
    """
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise _no_second_derivative(one_line(error, longest=200)) from error


def check_second_derivative(gradient: torch.Tensor) -> None:
    """Refuse a gradient that went through a function marked ``once_differentiable``.

    Autograd marks the place in the graph but, going round it by any other path, would silently leave out its share.

    Raises
    ------
    InputError
    """
    waiting, seen = [gradient.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::Error":
            raise _no_second_derivative("a function marked once_differentiable")
        waiting.extend(following for following, _ in node.next_functions)


def _no_second_derivative(what: str) -> InputError:
    return InputError(
        f"model has an operation without second derivative ({what}): pass method='finite_difference', or load it with "
        "attn_implementation='eager' if it is attention"
    )
