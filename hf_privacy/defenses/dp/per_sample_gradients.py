"""The gradient of each example's own loss, clipped and summed, in five ways.

"bookkeeping" is ours: one pass, after which each layer's clipped sum is made of what went in and what came back
(`hf_privacy.defenses.dp.bookkeeping`); the fastest wherever it follows: linear layers, adapters, convolutions, norms,
embeddings, parameters that are added or multiplied. "functional" is `torch.func.vmap`: one example's gradient by
construction, on nearly any model. "hooks" are Opacus's, and "ghost" its fast gradient clipping, norms without
gradients and a second backward pass: they cannot follow every model. "loop" is the definition itself, one backward
pass an example: slow, and right for every model. The others can go wrong without a word, so `ClippedSum.check` holds
whichever way is taken against it, once in each training; "auto" takes the first of bookkeeping, functional and loop
that passes, and says so where it is not the first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from hf_privacy.defenses.dp.bookkeeping import clipped_sum_by_bookkeeping
from hf_privacy.defenses.dp.clipping import Losses, cannot_follow, clip_factors, in_full
from hf_privacy.defenses.dp.functional import MASKS, clipped_sum_by_vmap
from hf_privacy.defenses.dp.opacus_hooks import clipped_sum_by_ghost, clipped_sum_by_hooks
from hf_privacy.defenses.dp.row_units import Units
from hf_privacy.errors import InputError
from hf_privacy.said_once import warn_once
from hf_privacy.signals.invariance import unpadded

# What "auto" tries, the cheapest first.
_AUTO = ("bookkeeping", "functional", "loop")
# In a batch, the unit of each row, int64 [B], counted from 0: rows of one unit are clipped as one, their mean.
UNIT = "privacy_unit"
# Of a check: the norm all are clipped to, since without clipping a sum is right whoever's a gradient is taken for, and
# what each row's loss is multiplied by, so that one taken for another's is clipped by another factor.
_CHECKED_NORM, _SCALE = 1e-3, "privacy_check_scale"
# Of a check: a batch, and its clipped sum by one backward pass an example.
_Expected = tuple[dict[str, torch.Tensor], list[torch.Tensor]]
# What models raise that a way cannot follow; it is no fault of the data, which a plain pass has gone through.
_ERRORS = (ValueError, RuntimeError, IndexError, TypeError, AttributeError, NotImplementedError)
# Modules whose output for one example depends on its batch-mates, or whose buffers remember them.
_MIXING = (torch.nn.modules.batchnorm._BatchNorm,)


def check_private(model: torch.nn.Module) -> None:
    """Refuse a model in which examples of a batch touch each other.

    Raises
    ------
    InputError
        Naming the first such module, why it cannot be trained so, and the way out.
    """
    for name, module in model.named_modules():
        if isinstance(module, _MIXING):
            raise InputError(
                f"{name} is {type(module).__name__}: it normalises an example by its batch-mates, so no example has a "
                "gradient of its own; use GroupNorm (timm ResNets: model kwargs norm_layer: groupnorm1)"
            )
        if isinstance(module, torch.nn.modules.instancenorm._InstanceNorm) and module.track_running_stats:
            raise InputError(
                f"{name} is {type(module).__name__} with running statistics, which leak what they saw: set "
                "track_running_stats=False"
            )
    if getattr(getattr(model, "config", None), "output_router_logits", False):
        raise InputError(
            "the model's config sets output_router_logits: the auxiliary loss of a mixture of experts is of all "
            "tokens of a batch together, so no example has a gradient of its own; set it to False"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError("the model has no trainable weights: nothing would be learnt")


class ClippedSum:
    """Gives a batch's clipped sum; made by `clipped_gradients`."""

    def __init__(self, model: torch.nn.Module, way: str, max_norm: float, losses: Losses, hooks: Any = None) -> None:
        self.model = model
        self.way = _AUTO[0] if way == "auto" else way
        self._others = _AUTO[1:] if way == "auto" else ()
        self.max_norm = max_norm
        self._losses = losses
        self._hooks = hooks
        self._mask = MASKS[0]

    def __call__(self, batch: dict[str, torch.Tensor]) -> tuple[list[torch.Tensor | None], torch.Tensor]:
        """The clipped sum of a batch.

        Parameters
        ----------
        batch : dict of tensor
            With "labels" [B], B ≥ 1, and with `UNIT` where rows are clipped together.

        Returns
        -------
        gradients : list of tensor or None
            One a trainable parameter, in the order of ``model.parameters()``, in float32 (of weights in half precision
            too, but for "ghost"); None where the loss does not reach it.
        losses : tensor [B], or of each unit [U]
        """
        batch, units = _with_units(batch)
        if self.way == "loop":
            return _by_loop(self.model, batch, self.max_norm, self._losses, units)
        try:
            if self.way == "functional":
                return clipped_sum_by_vmap(self.model, batch, self.max_norm, self._losses, units, mask=self._mask)
            if self.way == "bookkeeping":
                return clipped_sum_by_bookkeeping(
                    self.model,
                    lambda: self._losses(self.model, batch),
                    lambda norms: clip_factors(norms, self.max_norm),
                    len(batch["labels"]),
                    units,
                )
            if units is not None:
                raise cannot_follow(self.way, "it clips rows, and not the mean of a group's")
            by = clipped_sum_by_hooks if self.way == "hooks" else clipped_sum_by_ghost
            with warnings.catch_warnings():
                # The first layer's input has no gradient, and need not have one.
                warnings.filterwarnings("ignore", message="Full backward hook is firing")
                return by(self.model, batch, self.max_norm, self._losses, self._hooks)
        except _ERRORS as error:
            if isinstance(error, (InputError, torch.OutOfMemoryError)):
                raise
            raise cannot_follow(self.way, str(error)) from error

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, passes through the model leave nothing behind for the clipped sum."""
        if self._hooks is not None:
            self._hooks.disable_hooks()
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Full backward hook is firing")
                yield
        finally:
            if self._hooks is not None:
                self._hooks.enable_hooks()

    def check(self, *batches: dict[str, torch.Tensor]) -> None:
        """Hold the clipped sum against one backward pass an example, on up to four examples and without dropout.

        Each of them goes through it without its padding: what moves with a batch-mate's length is found too. One way
        must do for all batches, and with dropout as well; where the way was left open, the next one is tried. It costs
        as much as a few small steps; models of one class are not taken on trust, since a batch may be what differs.

        Raises
        ------
        InputError
            If they differ: then no example's influence is bounded, whatever ε is reported.
        """
        few = [_scaled(_first_units(batch, 4)) for batch in batches]
        with _no_weight_of_zeros(self.model), self._all_clipped():
            self._check(few)

    @contextmanager
    def _all_clipped(self) -> Iterator[None]:
        """Inside, every row is clipped, and each by a factor of its own."""
        kept = losses, most = self._losses, self.max_norm

        def scaled(call: Callable[..., Any], batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return losses(call, {k: v for k, v in batch.items() if k != _SCALE}) * batch[_SCALE]

        self._losses, self.max_norm = scaled, min(most, _CHECKED_NORM)
        try:
            yield
        finally:
            self._losses, self.max_norm = kept

    def _check(self, few: list[dict[str, torch.Tensor]]) -> None:
        try:
            with self.paused(), self._without_dropout():
                sums = [clipped_sum_by_loop(self.model, b, max_norm=self.max_norm, losses=self._losses) for b in few]
        except _ERRORS as error:
            if self.way in ("functional", "loop") or isinstance(error, (InputError, torch.OutOfMemoryError)):
                raise
            raise cannot_follow(self.way, str(error)) from error  # the hooks stand in the way
        expected = list(zip(few, sums, strict=True))
        first = self._mask
        problem = self._problem(expected)
        earlier, reasons = self.way, []
        while problem is not None and self._others:
            reasons.append(str(problem))
            self.way, *rest = self._others
            self._others = tuple(rest)
            problem = self._problem(expected)
        if problem is not None:
            self._mask = first
            raise problem
        if self.way != earlier:
            reason = reasons[0].split(": set it to ")[0]
            warn_once(f"per_sample_gradients 'auto' takes {self.way!r}, which is slower: {reason}", stacklevel=4)

    @contextmanager
    def _without_dropout(self) -> Iterator[None]:
        """Inside, nothing is drawn, which would be drawn otherwise the next time.

        Opacus's hooks look away from a module in evaluation mode, and layers do without checkpointing there.
        """
        modes = {module: module.training for module in self.model.modules()}
        for module in modes:
            owns = any(weight.requires_grad for weight in module.parameters(recurse=False))
            module.training = owns or getattr(module, "gradient_checkpointing", False)
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode

    def _problem(self, expected: list[_Expected]) -> InputError | None:
        """What is wrong with the way as it is; the masks of texts are tried in turn where it takes any."""
        if self.way == "loop":
            return None
        problem = self._difference(expected)
        for mask in MASKS if self.way == "functional" and "attention_mask" in expected[0][0] else ():
            if problem is None:
                break
            self._mask = mask
            problem = self._difference(expected)
        return problem

    def _difference(self, expected: list[_Expected]) -> InputError | None:
        for batch, totals in expected:
            found = self._tried(batch, dropout=False)
            if isinstance(found, InputError):
                return found
            norms = [total.float().norm() for total in totals]
            least = 1e-3 * torch.stack(norms).norm().clamp(max=self.max_norm)
            for gradient, total, norm in zip(found, totals, norms, strict=True):
                difference = total if gradient is None else gradient - total
                # Half-precision sums in another order differ by more than float32 ones, a wrong sum by more than both.
                if not difference.float().norm() <= 0.02 * norm + least:
                    return cannot_follow(self.way, "its clipped gradients are not those of one example at a time")
        # A layer that is run again by itself must draw nothing.
        found = self._tried(expected[0][0], dropout=True)
        if isinstance(found, InputError):
            return found
        return self._touching(expected[0][0]) if self.way != "functional" else None

    def _touching(self, batch: dict[str, torch.Tensor]) -> InputError | None:
        """Whether the first row's loss moves with the others, as in training, where the check does not go."""
        batch = _with_units(batch)[0]
        device, losses = batch["labels"].device, []
        for rows in (batch, {name: values[[0] * len(values)] for name, values in batch.items()}):
            same = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
            with self.paused(), same, torch.no_grad():
                losses.append(self._losses(self.model, rows)[0].double())
        loss, alone = losses
        if (loss - alone).abs() <= 0.02 * alone.abs() + 1e-3:
            return None
        return cannot_follow(self.way, "in training the loss of one example moves with its batch-mates")

    def _tried(self, batch: dict[str, torch.Tensor], *, dropout: bool) -> list[torch.Tensor | None] | InputError:
        """The clipped sum, or why there is none; what is drawn on the way is drawn again in training."""
        device = batch["labels"].device
        drawn_again = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
        try:
            with drawn_again, nullcontext() if dropout else self._without_dropout():
                return self(batch)[0]
        except InputError as error:
            return error
        except FloatingPointError as error:
            return cannot_follow(self.way, str(error))


@contextmanager
def _no_weight_of_zeros(model: torch.nn.Module) -> Iterator[None]:
    """Inside, what is trained from zero on (an adapter's B, the last norm of a block) holds small numbers.

    No gradient comes by a weight of zeros: what lies behind it could be wrong and pass a check.
    """
    generator = torch.Generator().manual_seed(0)
    found = [weight for weight in model.parameters() if weight.requires_grad and not weight.detach().any()]
    kept = [weight.detach().clone() for weight in found]
    with torch.no_grad():
        for weight in found:
            weight.copy_(0.03 * torch.randn(weight.shape, generator=generator))
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, values in zip(found, kept, strict=True):
                weight.copy_(values)


@contextmanager
def clipped_gradients(model: torch.nn.Module, way: str, *, max_norm: float, losses: Losses) -> Iterator[ClippedSum]:
    """A `ClippedSum`, with the hooks it needs on the model while the block runs.

    Parameters
    ----------
    model : torch.nn.Module
    way : str
        One of `PER_SAMPLE_GRADIENTS`.
    max_norm : float
        Norm that each example's gradient is clipped to.
    losses : callable
        The loss of each example, of nothing but that example and the weights.

    Raises
    ------
    InputError
        If opacus is not installed, or cannot follow the model.
    """
    if way not in ("hooks", "ghost"):
        yield ClippedSum(model, way, max_norm, losses)
        return
    try:
        from opacus.grad_sample.grad_sample_module import GradSampleHooks
        from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import GradSampleHooksFastGradientClipping
    except ImportError as error:
        raise InputError('differential privacy needs opacus: pip install "hf-privacy[dp]"') from error
    settings = {"batch_first": True, "loss_reduction": "sum"}
    try:
        if way == "hooks":
            hooks = GradSampleHooks(model, **settings)
        else:
            hooks = GradSampleHooksFastGradientClipping(model, max_grad_norm=max_norm, **settings)
    except (NotImplementedError, AttributeError) as error:
        raise cannot_follow(way, str(error)) from error
    try:
        yield ClippedSum(model, way, max_norm, losses, hooks)
    finally:
        hooks.cleanup()


def clipped_sum_by_loop(
    model: torch.nn.Module, batch: dict[str, torch.Tensor], *, max_norm: float, losses: Losses
) -> list[torch.Tensor]:
    """The definition: one backward pass an example, without its padding, clipped, summed."""
    batch, units = _with_units(batch)
    return _by_loop(model, batch, max_norm, losses, units)[0]


def _with_units(batch: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], Units | None]:
    """What the model is given, and which rows are clipped together."""
    if UNIT not in batch:
        return batch, None
    return {name: values for name, values in batch.items() if name != UNIT}, Units.of(batch[UNIT])


def units_in(batch: dict[str, torch.Tensor]) -> int:
    """How many a batch has of what is clipped as one."""
    return int(batch[UNIT].max()) + 1 if UNIT in batch else len(batch["labels"])


def _scaled(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The batch, with what each row's loss is multiplied by."""
    labels = batch["labels"]
    return {**batch, _SCALE: 2.0 ** (torch.arange(len(labels), device=labels.device) % 4)}


def _first_units(batch: dict[str, torch.Tensor], count: int) -> dict[str, torch.Tensor]:
    """The rows of the first so many units."""
    if UNIT not in batch:
        return {name: values[:count] for name, values in batch.items()}
    kept = batch[UNIT] < count
    return {name: values[kept] for name, values in batch.items()}


def _by_loop(
    model: torch.nn.Module,
    batch: dict[str, torch.Tensor],
    max_norm: float,
    losses_of: Losses,
    units: Units | None = None,
) -> tuple[list[torch.Tensor], torch.Tensor]:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    totals = [in_full(torch.zeros_like(parameter)) for parameter in parameters]
    losses = []
    n_rows = len(batch["labels"])
    together = [[row] for row in range(n_rows)]
    if units is not None:
        together = [[row for row in rows if row < n_rows] for rows in units.rows.tolist()]
    for rows in together:
        loss = torch.stack([losses_of(model, unpadded(batch, row)).sum() for row in rows]).mean()
        gradients = _own_gradients(model, loss, parameters)
        norm = torch.stack([gradient.float().norm() for gradient in gradients if gradient is not None]).norm()
        factor = clip_factors(norm[None], max_norm)[0]
        for total, gradient in zip(totals, gradients, strict=True):
            if gradient is not None:
                total += in_full(gradient) * factor.to(total.dtype)
        losses.append(loss.detach())
    return totals, torch.stack(losses)


def _own_gradients(
    model: torch.nn.Module, loss: torch.Tensor, parameters: list[torch.nn.Parameter]
) -> list[torch.Tensor | None]:
    """The gradients of one loss; ``.grad`` is left as it was."""
    if not any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
        return list(torch.autograd.grad(loss, parameters, allow_unused=True))
    # A checkpointed pass can be gone back through by backward() alone.
    kept = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    gradients = [parameter.grad for parameter in parameters]
    for parameter, gradient in zip(parameters, kept, strict=True):
        parameter.grad = gradient
    return gradients
