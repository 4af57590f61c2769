"""The state a model runs in: training or evaluation, wrapped or bare, in which precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from accelerate.utils.other import is_compiled_module
from packaging.version import Version
from torch import nn

_LOW_PRECISION = (torch.bfloat16, torch.float16)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put `model` in evaluation mode; on leaving, every module gets back the mode it had (frozen parts stay frozen).

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm1d(2).eval()).train(True)
    >>> _ = model[1].eval()
    >>> with evaluation_mode(model):
    ...     model[0].training
    False
    >>> model[0].training, model[1].training
    (True, False)
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def no_parameter_gradients(model: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Only inputs get gradients inside; afterwards every parameter's ``requires_grad`` is what it was.

    Yields
    ------
    list of Parameter
        Those that asked for gradients.

    Examples
    --------
    >>> layer = nn.Linear(1, 1)
    >>> with no_parameter_gradients(layer):
    ...     layer(torch.ones(1, 1)).requires_grad
    False
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield trained
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


@contextmanager
def placed_on(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Inside, `model` lies on `device`; on leaving, where it lay before.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 2)
    >>> with placed_on(model, torch.device("cpu")):
    ...     model.weight.device
    device(type='cpu')
    """
    first = next(model.parameters(), None)
    before = device if first is None else first.device
    model.to(device)
    try:
        yield
    finally:
        model.to(before)


@contextmanager
def without_tf32() -> Iterator[None]:
    """Inside, float32 is float32 on every device.

    TF32, PyTorch's default in convolutions on NVIDIA GPUs, has 10 bits: figures would differ from the CPU's by a
    thousandth of the logits, and a step of 1e-3 would not be seen.
    """
    settings: list[tuple[object, str, object]]
    if Version(torch.__version__) >= Version("2.9"):
        kinds = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
        settings = [(kind, "fp32_precision", "ieee") for kind in kinds]
    else:
        settings = [(kind, "allow_tf32", False) for kind in (torch.backends.cuda.matmul, torch.backends.cudnn)]
    with ExitStack() as restored:
        for kind, name, value in settings:
            restored.callback(setattr, kind, name, getattr(kind, name))
            setattr(kind, name, value)
        yield


def bare_model(model: nn.Module) -> Any:
    """The module inside ``DistributedDataParallel``, ``DataParallel`` or ``torch.compile``; any other as it is.

    Gradients with respect to inputs are taken through it: a parallel wrapper would prepare the exchange of parameter
    gradients that never come, and a compiled one would compile again.

    Examples
    --------
    >>> inner = nn.Linear(2, 2)
    >>> bare_model(nn.DataParallel(inner)) is inner
    True
    """
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            model = model.module
        elif is_compiled_module(model):
            model = model._orig_mod
        else:
            return model


@contextmanager
def float32_logits(model: nn.Module) -> Iterator[Callable[[Mapping[str, torch.Tensor]], torch.Tensor]]:
    """A function from model inputs to logits, in evaluation mode and float32, whatever precision training uses.

    Autocast is off, also the one that ``accelerator.prepare`` builds into ``model.forward``. Weights in bfloat16 or
    float16 are copied to float32 for the duration, so that steps smaller than their rounding are seen. Gradients are
    recorded, also when called under ``no_grad`` or ``inference_mode``. On leaving, the model is as it was: modes,
    weights, buffers, forward.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` of shape [batch, C]; may be wrapped (:func:`bare_model`).

    Yields
    ------
    callable
        Takes a dictionary of tensors (without labels; those of floating point in float32) and gives float32 logits;
        a float64 model takes and gives float64.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, num_labels=3)).bfloat16()
    >>> with float32_logits(model) as logits_of:
    ...     logits_of({"features": torch.zeros(2, 4)}).dtype
    torch.float32
    """
    bare = bare_model(model)
    device = next(bare.parameters()).device
    # Around the whole block: a backward pass within it would else run under the caller's autocast.
    no_autocast = torch.autocast(device.type, enabled=False)
    with torch.inference_mode(False), torch.enable_grad(), no_autocast, evaluation_mode(bare), _own_forward(bare):
        upcast = {
            name: tensor.detach().float()
            for named in (bare.named_parameters(), bare.named_buffers())
            for name, tensor in named
            if tensor.dtype in _LOW_PRECISION
        }

        def logits_of(inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
            outputs = torch.func.functional_call(bare, upcast, (), dict(inputs)) if upcast else bare(**inputs)
            logits = outputs.logits
            return logits if logits.dtype == torch.float64 else logits.float()

        yield logits_of


@contextmanager
def float32_weights(model: nn.Module) -> Iterator[nn.Module]:
    """Inside, `model` without what wraps it, computing in float32 whatever precision its weights have.

    Weights and buffers in bfloat16 or float16 are copied to float32 for the duration; on leaving, those that were
    there are back, to the bit. Autocast is off, also the one that ``accelerator.prepare`` builds into
    ``model.forward``.

    Examples
    --------
    >>> model = nn.Linear(2, 2).bfloat16()
    >>> with float32_weights(model) as bare:
    ...     bare.weight.dtype
    torch.float32
    >>> model.weight.dtype
    torch.bfloat16
    """
    bare = bare_model(model)
    low = [(tensor, tensor.data) for tensor in (*bare.parameters(), *bare.buffers()) if tensor.dtype in _LOW_PRECISION]
    device = next(bare.parameters()).device
    with torch.autocast(device.type, enabled=False), _own_forward(bare):
        try:
            for tensor, values in low:
                tensor.data = values.float()
            yield bare
        finally:
            for tensor, values in low:
                tensor.data = values


@contextmanager
def without_autocast(model: nn.Module) -> Iterator[None]:
    """Inside, `model` computes in the precision of its weights, whatever precision training uses.

    Autocast is off, the caller's and the one that ``accelerator.prepare`` builds into ``model.forward``, so a model
    just trained in bfloat16 gives the figures of the one that is saved. Weights that are in low precision themselves
    leave all as it is: their inputs may need the casts.

    Parameters
    ----------
    model : torch.nn.Module
        May be wrapped (:func:`bare_model`).
    """
    bare = bare_model(model)
    weight = next(bare.parameters(), None)
    if weight is None or any(parameter.dtype in _LOW_PRECISION for parameter in bare.parameters()):
        yield
        return
    with torch.autocast(weight.device.type, enabled=False), _own_forward(bare):
        yield


@contextmanager
def _own_forward(model: nn.Module) -> Iterator[None]:
    """Inside, the forward that `model` had before accelerate put autocast around it, if it did."""
    wrapped, own = vars(model).get("forward"), vars(model).get("_original_forward")
    if wrapped is None or own is None:
        yield
        return
    model.forward = own
    try:
        yield
    finally:
        model.forward = wrapped
