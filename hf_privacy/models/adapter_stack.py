"""Several adapters of one base, run as one model: the base once over the rows of all, each adapter over its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# What draws at random within a forward pass, and can be done part by part.
_DRAWS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout)


class RandomStream:
    """The random numbers of one training among several that take turns: torch's global state, put back each time.

    Examples
    --------
    >>> streams = [RandomStream(seed) for seed in (0, 1)]
    >>> with streams[0]:
    ...     first = torch.rand(1)
    >>> with streams[1]:
    ...     _ = torch.rand(3)
    >>> with streams[0]:
    ...     second = torch.rand(1)
    >>> bool((torch.rand(2, generator=torch.Generator().manual_seed(0)) == torch.cat([first, second])).all())
    True
    """

    def __init__(self, seed: int, device: torch.device | None = None) -> None:
        self._on_gpu = device is not None and device.type == "cuda"
        self._device = device
        self.state = (torch.Generator().manual_seed(seed).get_state(), None)
        if self._on_gpu:
            self.state = (self.state[0], torch.Generator(device).manual_seed(seed).get_state())

    def __enter__(self) -> RandomStream:
        torch.set_rng_state(self.state[0])
        if self._on_gpu:
            torch.cuda.set_rng_state(self.state[1], self._device)
        return self

    def __exit__(self, *exception: object) -> None:
        self.state = (torch.get_rng_state(), torch.cuda.get_rng_state(self._device) if self._on_gpu else None)


class AdapterStack:
    """K models that have one frozen base and weights of their own to train, of the same shapes.

    While it stands, each model's trained weights are views of stacked ones: whatever steps them, steps the stack.
    `run` makes the first model one whose batch holds an equal block of rows for each model. What is frozen sees the
    rows of all at once; a module that has trained weights sees each block with its model's weights: a linear layer by
    one batched product, any other by `torch.func`.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        See `why_not_one`.

    Examples
    --------
    >>> base = nn.Linear(2, 2, bias=False).requires_grad_(False)
    >>> models = [nn.Sequential(base, nn.Linear(2, 1)) for _ in range(3)]
    >>> stack, rows = AdapterStack(models), torch.randn(6, 2)
    >>> with stack.run([0, 2]) as model:
    ...     outputs = model(rows)
    >>> torch.allclose(outputs, torch.cat([models[0](rows[:3]), models[2](rows[3:])]))
    True
    >>> outputs.sum().backward()
    >>> stack.hand_out([0, 2])
    >>> models[0][1].weight.grad is not None, models[1][1].weight.grad is None
    (True, True)
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        self._models = list(models)
        self._own = [_trained(model) for model in models]
        self._weights = {
            name: torch.stack([own[name].detach() for own in self._own]).requires_grad_() for name in self._own[0]
        }
        for number, own in enumerate(self._own):
            for name, weight in own.items():
                weight.data = self._weights[name].detach()[number]
        self._in_use: dict[str, torch.Tensor] = {}
        self._forwards = [
            (module, self._forward_of(path, module)) for path, module in _modules_with_own(models[0]).items()
        ]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The trained weights of all models by name, each [K, …]."""
        return self._weights

    @contextmanager
    def run(self, numbers: Sequence[int], streams: Sequence[RandomStream] | None = None) -> Iterator[nn.Module]:
        """Inside, a model for batches of as many equal blocks of rows as there are ``numbers``, of those models.

        ``streams`` are what the models' dropout draws from, each from its own.
        """
        everyone = list(numbers) == list(range(len(self._models)))
        for name, weight in self._weights.items():
            self._in_use[name] = weight if everyone else weight[list(numbers)]
        for module, forward in self._forwards:
            module.forward = forward
        try:
            with nullcontext() if streams is None else _OwnDraws(streams):
                yield self._models[0]
        finally:
            for module, _ in self._forwards:
                del module.forward
            self._in_use.clear()

    def hand_out(self, numbers: Sequence[int]) -> None:
        """Add what the stacked weights have as gradients to those of these models' own."""
        for name, stacked in self._weights.items():
            gradient, stacked.grad = stacked.grad, None
            if gradient is None:
                continue
            for number in numbers:
                weight = self._own[number][name]
                weight.grad = gradient[number] if weight.grad is None else weight.grad + gradient[number]

    def dissolve(self) -> None:
        """Give each model its weights alone again."""
        for own in self._own:
            for weight in own.values():
                weight.data = weight.data.clone()

    def _forward_of(self, path: str, module: nn.Module) -> Callable[..., torch.Tensor]:
        names = {name: f"{path}.{name}" if path else name for name in _trained(module)}
        if type(module) is nn.Linear and set(names) == {"weight"} and module.bias is None:

            def product(rows: torch.Tensor) -> torch.Tensor:
                weight = self._in_use[names["weight"]]
                blocks = rows.reshape(len(weight), -1, rows.shape[-1])
                return torch.bmm(blocks, weight.transpose(1, 2)).view(*rows.shape[:-1], weight.shape[1])

            return product
        plain = copy.copy(module)  # the same weights, and a forward of its own

        def blockwise(*rows: torch.Tensor) -> torch.Tensor:
            own = {name: self._in_use[full] for name, full in names.items()}
            n_blocks = len(next(iter(own.values())))

            def of_one(own: dict[str, torch.Tensor], *rows: torch.Tensor) -> torch.Tensor:
                return torch.func.functional_call(plain, own, rows)

            blocks = (each.unflatten(0, (n_blocks, -1)) for each in rows)
            return torch.func.vmap(of_one, randomness="different")(own, *blocks).flatten(0, 1)

        return blockwise


def why_not_one(models: Sequence[nn.Module]) -> str | None:
    """What keeps models from one `AdapterStack`, after their name in a sentence; None where nothing does.

    Examples
    --------
    >>> base = nn.Linear(2, 2).requires_grad_(False)
    >>> why_not_one([nn.Sequential(base, nn.Linear(2, 1)), nn.Sequential(base, nn.Linear(2, 1))]) is None
    True
    >>> why_not_one([nn.Sequential(base, nn.Linear(2, 1)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))])
    'train other weights, or weights of other shapes, than one another'
    """
    first = models[0]
    own = {name: (weight.shape, weight.dtype, weight.device) for name, weight in _trained(first).items()}
    if not own:
        return "train no weights"
    names = [name for name, weight in first.named_parameters(remove_duplicate=False) if weight.requires_grad]
    if len(names) > len(own):
        return "train weights that two modules share"
    if any(getattr(module, "running_mean", None) is not None for module in first.modules()):
        return "keep running statistics of their batches"
    if any(module._forward_pre_hooks or module._forward_hooks for module in _modules_with_own(first).values()):
        return "have hooks on what is trained"
    fixed = _fixed(first)
    for model in models[1:]:
        others = {name: (weight.shape, weight.dtype, weight.device) for name, weight in _trained(model).items()}
        if others != own:
            return "train other weights, or weights of other shapes, than one another"
        if not _same(fixed, _fixed(model)):
            return "have frozen weights of their own each"
    return None


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _fixed(model: nn.Module) -> dict[str, torch.Tensor]:
    """Frozen weights and buffers that a pass reads; of a module that is trained in full not its untrained twin."""
    weights = {name: weight for name, weight in model.named_parameters() if not weight.requires_grad}
    weights |= dict(model.named_buffers())
    return {name: weight for name, weight in weights.items() if ".original_module." not in f".{name}"}


def _same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(
        weight is theirs[name] or weight.data_ptr() == theirs[name].data_ptr() or torch.equal(weight, theirs[name])
        for name, weight in ours.items()
    )


def _modules_with_own(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that apply trained weights, by their paths; none lies in another."""
    paths = set()
    for name in _trained(model):
        path = name.rpartition(".")[0]
        while path and isinstance(model.get_submodule(path), (nn.ParameterDict, nn.ParameterList)):
            path = path.rpartition(".")[0]
        paths.add(path)
    outermost = {path for path in paths if not any(_lies_in(path, other) for other in paths - {path})}
    return {path: model.get_submodule(path) for path in sorted(outermost)}


def _lies_in(path: str, other: str) -> bool:
    return other == "" or path.startswith(f"{other}.")


class _OwnDraws(TorchFunctionMode):
    """Inside, what a forward pass draws is drawn for each block of rows from its own stream, as if it were alone."""

    def __init__(self, streams: Sequence[RandomStream]) -> None:
        super().__init__()
        self._streams = list(streams)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        is_attention = func is F.scaled_dot_product_attention
        if not (func in _DRAWS or (is_attention and (kwargs.get("dropout_p") or (len(args) > 4 and args[4])))):
            return func(*args, **kwargs)
        n_blocks, n_rows = len(self._streams), len(args[0])

        def block(value: Any, number: int) -> Any:
            if not isinstance(value, torch.Tensor) or value.ndim != args[0].ndim or len(value) != n_rows:
                return value
            return value[number * (n_rows // n_blocks) : (number + 1) * (n_rows // n_blocks)]

        parts = []
        for number, stream in enumerate(self._streams):
            with stream:
                own = {name: block(value, number) for name, value in kwargs.items()}
                parts.append(func(*(block(value, number) for value in args), **own))
        return torch.cat(parts)
