"""Linear layers of a CPU by oneDNN, where torch would take Intel's MKL to another maker's processor.

MKL keeps its kernels of 512 bits to Intel's own processors; oneDNN, which torch has beside it for convolutions, does
not ask whose a processor is. On an AMD EPYC of 2024 it multiplies a layer of 446 × 512 in half the time, and a step of
a small MLP takes two thirds. The same sums in another order: float32 differs in its last bits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


@cache
def onednn_is_faster() -> bool:
    """Whether this process's torch multiplies by MKL on a processor that MKL has slower kernels for.

    A matter of the build and of the processor, never of a timing: a recipe gives the same twice on one machine.
    """
    if sys.platform != "linux" or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    described = Path("/proc/cpuinfo")
    processor = described.read_text(encoding="utf-8", errors="ignore") if described.exists() else ""
    return (
        torch.backends.mkldnn.is_available()
        and "BLAS_INFO=mkl" in torch.__config__.show()
        and "AuthenticAMD" in processor
        and "avx512f" in processor
    )


class OneDNNLinear(nn.Linear):
    """`torch.nn.Linear` of float32 on a CPU; anything else goes the usual way."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """``input`` of shape (…, in) times the weights, plus the bias: (…, out)."""
        fits = (
            input.dtype == self.weight.dtype == torch.float32
            and input.device.type == self.weight.device.type == "cpu"
            and input.numel() > 0
            and not torch.is_autocast_enabled("cpu")
        )
        return _Linear.apply(input, self.weight, self.bias) if fits else super().forward(input)


@contextmanager
def linear_by_onednn(model: nn.Module) -> Iterator[None]:
    """Let the linear layers of ``model`` multiply by oneDNN while the block runs, where that is faster.

    Layers that are `torch.nn.Linear` itself; subclasses have a reason of their own.
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.Linear] if onednn_is_faster() else []
    for layer in layers:
        layer.__class__ = OneDNNLinear
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        # A gradient that is to be differentiated again needs operations that can be.
        product = F.linear if torch.is_grad_enabled() else _product
        flat, out = rows.reshape(-1, rows.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        return (
            product(gradient, weight.t(), None) if of_rows else None,
            product(out.t(), flat.t(), None) if of_weight else None,
            out.sum(0) if of_bias else None,
        )


def _product(rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
