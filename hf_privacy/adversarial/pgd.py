"""Projected gradient descent: the points within a ball that a model likes least."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from hf_privacy.adversarial.attack_loss import DIVERGENCES, LOSSES, attack_loss
from hf_privacy.adversarial.ball import projected, steepest, uniform_in_ball
from hf_privacy.adversarial.input_space import Inputs, InputSpace
from hf_privacy.arguments import check_choice, check_number, check_switch, check_whole
from hf_privacy.errors import InputError
from hf_privacy.models.deferred import require
from hf_privacy.models.modes import float32_logits

NORMS = ("linf", "l2")


@dataclass(frozen=True)
class PGD:
    """Settings of an attack.

    Parameters
    ----------
    epsilon : float
        Radius of the ball around each example in the units of its space: pixels in 0..1 (``8/255``), features,
        embeddings. 0 leaves examples as they are.
    norm : {"linf", "l2"}
    n_steps : int
    step_size : float, optional
        In the units of `epsilon`; by default 1.25·epsilon / n_steps, DeMem's training step: enough from the example to
        the edge of the ball, not from one edge to the other. The usual test, PGD-20, takes steps of 1/255 at 8/255.
    random_start : bool
        Start uniformly in the ball rather than at the example.
    n_restarts : int
        Attacks from different random starts, of which each example keeps its worst.
    loss : {"cross_entropy", "cw", "kl", "reverse_kl"}
        What the attack raises, for each example by itself, with x the example and x′ the point:
        cross-entropy −ln p_y(x′); the margin max_{k≠y} z_k(x′) − z_y(x′) of Carlini and Wagner; KL(p(x) ‖ p(x′)), as
        the code of TRADES' authors; or the reverse, KL(p(x′) ‖ p(x)). Those authors start at x + 0.001·N(0, 1), where
        this starts uniformly in the ball.

    Raises
    ------
    InputError
        For an epsilon that is negative or not finite, an unknown norm or loss, no steps or restarts, a step size that
        is not positive, restarts without random start (all would be the same), or a divergence without random start
        (its gradient at the example is 0, so nothing would move).

    References
    ----------
    Madry et al., 2018 (arXiv 1706.06083), section 2.1; Carlini and Wagner, 2017 (arXiv 1608.04644), section V; Zhang
    et al., 2019, TRADES (arXiv 1901.08573), algorithm 1; DeMem (arXiv 2412.05767), section 4.

    Examples
    --------
    >>> PGD(8 / 255, n_steps=10).step * 255
    1.0
    """

    epsilon: float
    norm: str = "linf"
    n_steps: int = 20
    step_size: float | None = None
    random_start: bool = True
    n_restarts: int = 1
    loss: str = "cross_entropy"

    def __post_init__(self) -> None:
        check_number("epsilon", self.epsilon, 0.0, such_as="8/255 for pixels")
        check_choice("norm", self.norm, NORMS)
        check_choice("loss", self.loss, LOSSES)
        check_whole("n_steps", self.n_steps, at_least=1)
        check_whole("n_restarts", self.n_restarts, at_least=1)
        if self.step_size is not None:
            check_number("step_size", self.step_size, 0.0, low_open=True)
        check_switch("random_start", self.random_start)
        if self.n_restarts > 1 and not self.random_start:
            raise InputError(f"n_restarts is {self.n_restarts} without random_start: every restart would be the same")
        if self.loss in DIVERGENCES and not self.random_start:
            raise InputError(
                f"loss is {self.loss!r} without random_start: its gradient at the example is 0 and nothing moves"
            )

    @property
    def step(self) -> float:
        """The step size in use."""
        return 1.25 * self.epsilon / self.n_steps if self.step_size is None else self.step_size

    def check_space(self, space: InputSpace) -> None:
        """Refuse pixel distances that look as if they were in units of 0..255.

        Raises
        ------
        InputError
        """
        for name, value in (("epsilon", self.epsilon), ("step_size", self.step)):
            if space.name == "pixels" and self.norm == "linf" and value > 1:
                raise InputError(f"{name} is {value:g} and pixels go from 0 to 1: 0–255 units? pass {value:g}/255")


def pgd(
    model: nn.Module,
    inputs: Inputs,
    labels: torch.Tensor,
    *,
    space: InputSpace,
    attack: PGD,
    generator: torch.Generator | None = None,
    start_noise: torch.Tensor | None = None,
    clean_logits: torch.Tensor | None = None,
    keep_best: bool = False,
) -> torch.Tensor:
    """Points of `space` within the ball around each example of a batch, where the attack's loss is high.

    The model runs in evaluation mode and float32 (:func:`~hf_privacy.models.float32_logits`) and is afterwards as it
    was; only gradients with respect to the points are taken. Each example's steps follow its own gradient, so its
    point does not depend on the rest of the batch. L∞: steps along the sign of the gradient; L2: along the
    gradient divided by its norm. After each step the point is moved back into the ball, then into the bounds of the
    space. Where the gradient is 0 the point stays.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` [B, C]; bare or wrapped by DDP or ``torch.compile``, adapted by LoRA, with
        frozen or trainable weights, in any precision.
    inputs : mapping of str to tensor
        What the model is called with, on the model's device; ``labels`` in it are ignored.
    labels : integer tensor [B]
        True classes. The divergences do not look at them.
    space : PixelSpace, FeatureSpace or EmbeddingSpace
    attack : PGD
    generator : torch.Generator, optional
        For the random start; then torch's global generator is not touched.
    start_noise : tensor, optional
        The random start itself, as differences from the examples: [B, ...] or [n_restarts, B, ...] in units of the
        space. Projected into the ball; overrides `random_start`.
    clean_logits : tensor [B, C], optional
        The model's logits for the examples in evaluation mode, for a divergence; by default computed here.
    keep_best : bool
        For evaluation: keep for each example the point visited (over all steps and restarts) that is misclassified
        with the highest loss, or without any misclassified one the one with the highest loss. By default the last
        point; over several restarts the best of their last points. Costs one more forward pass a restart.

    Returns
    -------
    float32 tensor
        As ``space.points``, detached.

    Raises
    ------
    InputError
        When labels or noise do not fit the inputs, epsilon is beyond the pixels there are, the inputs are not of
        the space, or the model's gradients are not finite.

    Examples
    --------
    >>> from hf_privacy.adversarial import FeatureSpace
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=2, hidden_sizes=[], num_labels=2))
    >>> with torch.no_grad():
    ...     _ = model.classifier.weight.copy_(torch.tensor([[1.0, -2.0], [0.0, 0.0]])), model.classifier.bias.zero_()
    >>> inputs, labels = {"features": torch.zeros(1, 2)}, torch.tensor([0])
    >>> pgd(model, inputs, labels, space=FeatureSpace(), attack=PGD(0.5, step_size=0.1))
    tensor([[-0.5000,  0.5000]])
    """
    attack.check_space(space)
    with torch.inference_mode(False), torch.no_grad():
        inputs = {name: _plain(tensor) for name, tensor in inputs.items() if name != "labels"}
        clean = space.points(model, inputs)
        labels = _checked_labels(labels, clean)
        if attack.epsilon == 0 or clean.numel() == 0:
            return clean
        if space.name == "pixels" and attack.norm == "l2" and attack.epsilon > math.sqrt(clean[0].numel()):
            raise InputError(
                f"epsilon is {attack.epsilon:g} and no two images of {clean[0].numel()} pixels in 0..1 are that far "
                f"apart in L2: 0–255 units? pass {attack.epsilon:g}/255"
            )
        free = space.free(inputs, clean)
        starts = _starts(clean, free, attack, generator, start_noise)
    template = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    ball = {"epsilon": attack.epsilon, "norm": attack.norm}
    best = _Best(keep=keep_best, n_restarts=attack.n_restarts)
    with float32_logits(model) as logits_of:
        if attack.loss in DIVERGENCES:
            if clean_logits is None:
                with torch.no_grad():
                    clean_logits = logits_of(space.inputs(clean, template))
            clean_logits = _plain(clean_logits).detach().float()
        finite = torch.ones((), dtype=torch.bool, device=clean.device)
        for start in starts:
            points = space.clamp(clean + projected(start, **ball))
            for _ in range(attack.n_steps):
                points.requires_grad_(True)
                logits = logits_of(space.inputs(points, template))
                loss = attack_loss(logits, labels, loss=attack.loss, clean_logits=clean_logits)
                (gradient,) = torch.autograd.grad(loss.sum(), points)
                points = points.detach()
                with torch.no_grad():
                    best.visit(points, loss, logits, labels)
                    moved = points + attack.step * steepest(gradient, norm=attack.norm, free=free)
                    points = space.clamp(clean + projected(moved - clean, **ball))
            finite &= points.isfinite().all()
            with torch.no_grad():
                if best.needs_last:
                    logits = logits_of(space.inputs(points, template))
                    loss = attack_loss(logits, labels, loss=attack.loss, clean_logits=clean_logits)
                    best.compare(points, loss, logits, labels)
    require(finite, _not_finite)  # after all steps, once
    return best.points if best.needs_last else points


def _not_finite() -> InputError:
    return InputError("model has gradients that are not finite, which no attack can follow: check its weights")


class _Best:
    """For each example the point that is misclassified with the highest loss, else the one with the highest loss."""

    def __init__(self, *, keep: bool, n_restarts: int) -> None:
        self._keeps_visits = keep
        self.needs_last = keep or n_restarts > 1
        self.points: torch.Tensor | None = None

    def visit(self, points: torch.Tensor, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        if self._keeps_visits:
            self.compare(points, loss, logits, labels)

    def compare(self, points: torch.Tensor, loss: torch.Tensor, logits: torch.Tensor, labels: torch.Tensor) -> None:
        wrong = logits.argmax(dim=1) != labels
        if self.points is None:
            self.points, self._loss, self._wrong = points, loss.detach(), wrong
            return
        better = (wrong & ~self._wrong) | ((wrong == self._wrong) & (loss > self._loss))
        self.points = torch.where(better.reshape(-1, *[1] * (points.ndim - 1)), points, self.points)
        self._loss, self._wrong = torch.where(better, loss, self._loss), wrong | self._wrong


def _starts(
    clean: torch.Tensor,
    free: torch.Tensor | None,
    attack: PGD,
    generator: torch.Generator | None,
    start_noise: torch.Tensor | None,
) -> Iterator[torch.Tensor]:
    """For each restart the differences it starts from."""
    if start_noise is not None:
        noise = _plain(start_noise).detach().to(clean.device, torch.float32)
        if noise.ndim == clean.ndim:
            noise = noise[None]
        if noise.shape != (attack.n_restarts, *clean.shape):
            raise InputError(
                f"start_noise has the shape {list(start_noise.shape)} and the points {list(clean.shape)}: pass one "
                f"difference for each entry and each of {attack.n_restarts} restarts"
            )
        return iter(noise if free is None else torch.where(free, noise, 0.0))
    if not attack.random_start:
        return iter([torch.zeros_like(clean)])
    return (
        uniform_in_ball(clean, epsilon=attack.epsilon, norm=attack.norm, free=free, generator=generator)
        for _ in range(attack.n_restarts)
    )


def _checked_labels(labels: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    if labels.is_floating_point() or labels.shape != points.shape[:1]:
        raise InputError(
            f"labels has dtype {labels.dtype} and shape {list(labels.shape)}: pass a class number for each of the "
            f"{len(points)} examples"
        )
    return _plain(labels).to(points.device, torch.int64)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor`, or a copy of it that autograd may keep if it was made under ``inference_mode``."""
    return tensor.clone() if tensor.is_inference() else tensor
