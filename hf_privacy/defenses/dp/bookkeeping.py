"""Per-example gradients from what each layer was given and what came back to it: one pass, and no gradient kept.

`weight_uses` says what each use of a weight was given, `layer_gradients` makes norms and clipped sums of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import torch

from hf_privacy.defenses.dp.clipping import exactly
from hf_privacy.defenses.dp.layer_gradients import CannotFollowError, Part, joined, square_of
from hf_privacy.defenses.dp.row_units import Units
from hf_privacy.defenses.dp.weight_uses import WeightUses


def clipped_sum_by_bookkeeping(
    model: torch.nn.Module,
    losses_of: Callable[[], torch.Tensor],
    factors_of: Callable[[torch.Tensor], torch.Tensor],
    n_rows: int,
    units: Units | None,
) -> tuple[list[torch.Tensor | None], torch.Tensor]:
    """The clipped sum of a batch.

    Parameters
    ----------
    model : torch.nn.Module
    losses_of : callable
        Runs the model and gives the loss of each row, [B].
    factors_of : callable
        From the norms of the units' gradients, [U], to what each is multiplied by.
    n_rows : int
        B.
    units : Units, optional
        By default each row is one.

    Returns
    -------
    gradients : list of tensor or None
        One a trainable parameter, in the order of ``model.parameters()``, in float32 at least; None where the loss
        does not reach it.
    losses : tensor [B]

    Raises
    ------
    CannotFollowError
        For weights whose uses it cannot tell apart by example.

    References
    ----------
    Bu, Wang, Zha & Karypis (2022), "Differentially private optimization on large foundation models" (book-keeping),
    arXiv 2210.00038; ghost norms from Goodfellow (2015), arXiv 1510.01799, Li et al. (2021), arXiv 2110.05679, and of
    convolutions from Bu, Mao & Xu (2022), "Scalable and efficient training of large convolutional neural networks with
    differential privacy", arXiv 2205.10683.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with WeightUses(parameters, n_rows, units) as recorded:
        losses = losses_of()
    uses = recorded.uses
    if not uses:
        raise CannotFollowError("the loss reaches no weight")
    found = torch.autograd.grad(losses.sum(), [use.edge for use in uses], allow_unused=True)
    with exactly(losses.device):
        parts: dict[int, list[Part]] = defaultdict(list)
        for use, back in zip(uses, found, strict=True):
            if back is not None:
                for parameter, part in use.parts(back):
                    parts[id(parameter)].append(part)
        of_each = [joined(parts[id(parameter)]) for parameter in parameters]
        if not any(of_each):
            raise CannotFollowError("the loss reaches no weight")
        squares = [square_of(each) for each in of_each if each]
        factors = factors_of(torch.stack(squares).sum(dim=0).clamp(min=0).sqrt())
        gradients = [
            sum(each[1:], each[0]).reshape(parameter.shape) if (each := [p.summed(factors) for p in own]) else None
            for own, parameter in zip(of_each, parameters, strict=True)
        ]
    return gradients, losses.detach()
