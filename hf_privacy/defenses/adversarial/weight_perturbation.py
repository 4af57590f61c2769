"""AWP: the training loss is taken where a small step of the weights makes it worst, not where the weights are."""

from __future__ import annotations

from collections.abc import Callable

import torch


class AdversarialWeightPerturbation:
    """Moves a model's weights to θ + v for one backward pass, and back to θ bit for bit.

    v is one ascent step of the loss, of size ‖v_l‖ = γ‖w_l‖ in each layer l: v_l = γ‖w_l‖·g_l/‖g_l‖ with g the
    gradient at θ. As in the authors' code it moves each trainable tensor of more than one dimension with "weight" in
    its name: convolutions, linear layers, embeddings; biases and norms stay. An adapter (LoRA) is moved alone.

    `perturb` and `restore` work in place on the model itself, so that distributed and compiled models need no second
    copy. The weights are kept aside and written back, not computed back; buffers (running means) end the ascent as
    they began it, and no ``.grad`` is touched by it.

    Parameters
    ----------
    gamma : float above 0
        Size of v relative to each layer's weights.

    References
    ----------
    Wu, Xia & Wang (2020), "Adversarial weight perturbation helps robust generalization", NeurIPS, arXiv 2004.05884,
    and the authors' code. Departs in that the weights are put back before the optimizer's step, not after it, by
    their values and not by subtracting v: weight decay then acts on θ and not on θ + v, and rounding moves nothing.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> _ = torch.nn.init.ones_(layer.weight)
    >>> awp = AdversarialWeightPerturbation(0.01)
    >>> awp.perturb(layer, lambda: layer(torch.tensor([[3.0, 4.0]])).sum())
    >>> layer.weight.data  # 1 + 0.01 · √2 · (3, 4)/5
    tensor([[1.0085, 1.0113]])
    >>> awp.restore()
    >>> layer.weight.data
    tensor([[1., 1.]])
    """

    def __init__(self, gamma: float) -> None:
        self.gamma = gamma
        self._kept: list[tuple[torch.nn.Parameter, torch.Tensor]] = []

    def perturb(
        self,
        model: torch.nn.Module,
        loss: Callable[[], torch.Tensor],
        *,
        over_processes: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        """Move the weights to θ + v; `restore` must follow the backward pass.

        Parameters
        ----------
        model : torch.nn.Module
            Not wrapped for distributed training: its own backward pass must not be reduced.
        loss : callable
            The loss to ascend, computed through ``model`` when called.
        over_processes : callable, optional
            Makes of this process's gradient that of all processes' examples together, so that all move alike.
        """
        if self._kept:
            raise RuntimeError("the weights are perturbed already: restore them first")
        weights = [
            parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and parameter.ndim > 1 and "weight" in name
        ]
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        gradients = torch.autograd.grad(loss(), weights, allow_unused=True)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
            for weight, gradient in zip(weights, gradients, strict=True):
                # A weight the loss does not reach takes part in the sum over processes all the same.
                gradient = torch.zeros_like(weight) if gradient is None else gradient
                if over_processes is not None:
                    gradient = over_processes(gradient)
                self._kept.append((weight, weight.detach().clone()))
                scale = self.gamma * weight.float().norm() / (gradient.float().norm() + 1e-20)
                weight.add_((scale * gradient.float()).to(weight.dtype))

    def restore(self) -> None:
        """Write the weights back as they were; nothing where they are not perturbed."""
        kept, self._kept = self._kept, []
        with torch.no_grad():
            for weight, before in kept:
                weight.copy_(before)
