"""A training step without what nobody reads: no wait for the device, nothing asked of the machine each time anew."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import DistributedType

_WHOLE_WEIGHTS = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)


class DirectOptimizer(AcceleratedOptimizer):
    """accelerate's, that does not look for a package named lomo_optim on the disk twice at each step.

    A small model's step is as short as that search.
    """

    def step(self, closure: Any = None) -> None:
        """One step of the optimizer itself, with gradients that are complete."""
        if self.gradient_state.sync_gradients:
            self.optimizer.step(closure)


class DirectStepsMixin:
    """The part of `PrivacyTrainer` that shortens the stock Trainer's step; stands before `transformers.Trainer`.

    Weights, losses and logs are the stock Trainer's.
    """

    _clipped: list[torch.nn.Parameter] | None = None
    _is_sharded = False

    @property
    def _is_plain(self) -> bool:
        """Whether each process holds all weights and no loss is scaled: then nothing stands between it and torch."""
        accelerator = self.accelerator
        return accelerator.scaler is None and accelerator.distributed_type in _WHOLE_WEIGHTS

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """As in the stock Trainer; here the optimizer is ready, and no schedule counts its steps yet."""
        self._clipped = None
        if type(self.optimizer) is AcceleratedOptimizer and self._is_plain and not _is_lomo(self.optimizer.optimizer):
            self.optimizer.__class__ = DirectOptimizer
        return super().create_scheduler(num_training_steps, optimizer)

    def _clip_grad_norm(self, model: torch.nn.Module) -> Any:
        """As in the stock Trainer, by torch itself."""
        if self._clipped is None:
            self._clipped = list(model.parameters())
            self._is_sharded = any(hasattr(parameter, "device_mesh") for parameter in self._clipped)
        if self._is_sharded or not self._is_plain:
            return super()._clip_grad_norm(model)
        return torch.nn.utils.clip_grad_norm_(self._clipped, self.args.max_grad_norm)

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:
        # The stock Trainer passes over all gradients for the log alone when nothing clips them.
        return None if grad_norm is None else super()._get_grad_norm(model, grad_norm)

    def floating_point_ops(self, inputs: dict[str, torch.Tensor]) -> int:
        """Zero: counting parameters at every step costs more than a step of a small model takes."""
        return 0

    def _prepare_input(self, data: Any) -> Any:
        """As in the stock Trainer, without waiting for the copy: what is computed with it waits on the device."""
        if isinstance(data, torch.Tensor) and not self.is_deepspeed_enabled:
            device = self.args.device
            return data.to(device, non_blocking=device.type not in ("cpu", "mps"))
        return super()._prepare_input(data)


def _is_lomo(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it steps in the backward pass, and not when it is asked to."""
    return type(optimizer).__name__ in ("Lomo", "AdaLomo")
