"""The search for the nearest input of another class, by foolbox's attacks, in the unit cube foolbox works in.

foolbox is imported where it is used: it belongs to the extra ``robust``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_privacy.data.example_generators import example_seed

_QUERIES_IN_FIRST_STEP = 100  # foolbox's default; step t makes √t times as many
_BISECTIONS = 24  # a float32 has 24 bits


class UnitCube(nn.Module):
    """Logits of a model for inputs given in [0, 1] instead of [low, high].

    One affine map for all values, so lengths in the cube times ``high − low`` are lengths of inputs. foolbox 3.3.4
    needs it: its HopSkipJump clips to [0, 1] whatever bounds the model declares.
    """

    def __init__(self, model: nn.Module, column: str, low: float, high: float) -> None:
        super().__init__()
        self.model = model
        self.column = column
        self.low, self.width = low, high - low

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Logits [batch, C] in float32 of points [batch, ...]."""
        return self.model(**{self.column: self.low + self.width * points}).logits.float()


@dataclass(frozen=True)
class BoundarySearch:
    """A batch of correctly classified examples whose boundary is looked for.

    Parameters
    ----------
    cube : UnitCube
        In evaluation mode.
    examples : tensor of shape [B, ...]
        In [0, 1].
    labels : int64 tensor of shape [B]
    starts : tensor of shape [B, ...]
        For each example a point of another predicted class.
    norm : {2, math.inf}
    n_steps : int
    seed : int
    block_size : int
        Inputs evaluated at a time.
    """

    cube: UnitCube
    examples: torch.Tensor
    labels: torch.Tensor
    starts: torch.Tensor
    norm: float
    n_steps: int
    seed: int
    block_size: int

    def run(self, method: str) -> torch.Tensor:
        """Points [B, ...] on the boundary, just on its far side, by ``"hop_skip_jump"`` or ``"deepfool"``."""
        found = self._hop_skip_jump() if method == "hop_skip_jump" else self._deepfool()
        with torch.inference_mode():
            return self._pulled_back(found)

    def _hop_skip_jump(self) -> torch.Tensor:
        import eagerpy
        from foolbox.attacks import HopSkipJumpAttack

        attack = HopSkipJumpAttack(
            steps=self.n_steps,
            initial_gradient_eval_steps=_QUERIES_IN_FIRST_STEP,
            constraint="l2" if self.norm == 2 else "linf",
        )
        normal = BoundaryNormal(
            lambda points, repeats: is_adversarial(self.cube, points, self.labels.repeat(repeats)),
            self.examples,
            norm=self.norm,
            seed=self.seed,
            block_size=self.block_size,
        )

        def approximate_gradients(_: Callable, points: Any, n_directions: int, delta: Any) -> Any:
            return eagerpy.astensor(normal.estimate(points.raw, n_directions, delta.raw))

        attack.approximate_gradients = approximate_gradients
        with torch.inference_mode():
            return self._attacked(attack, starting_points=self.starts)

    def _deepfool(self) -> torch.Tensor:
        from foolbox.attacks import L2DeepFoolAttack, LinfDeepFoolAttack

        kind = L2DeepFoolAttack if self.norm == 2 else LinfDeepFoolAttack
        return self._attacked(kind(steps=self.n_steps))

    def _attacked(self, attack: Any, **settings: Any) -> torch.Tensor:
        from foolbox.criteria import Misclassification
        from foolbox.models import PyTorchModel

        model = PyTorchModel(self.cube, bounds=(0, 1), device=self.examples.device)
        return attack.run(model, self.examples, Misclassification(self.labels), **settings).detach()

    def _pulled_back(self, found: torch.Tensor) -> torch.Tensor:
        """Points moved towards their examples until the class changes; the start where an attack found nothing."""
        shape = (-1, *[1] * (found.ndim - 1))
        succeeded = is_adversarial(self.cube, found, self.labels) & found.flatten(1).isfinite().all(dim=1)
        found = torch.where(succeeded.reshape(shape), found, self.starts)
        near = torch.zeros(len(found), device=found.device)
        far = torch.ones_like(near)
        for _ in range(_BISECTIONS):
            middle = (near + far) / 2
            points = self.examples + middle.reshape(shape) * (found - self.examples)
            beyond = is_adversarial(self.cube, points, self.labels)
            near, far = torch.where(beyond, near, middle), torch.where(beyond, middle, far)
        return self.examples + far.reshape(shape) * (found - self.examples)


class BoundaryNormal:
    """HopSkipJump's estimate of the boundary's normal from predicted classes, for each example by itself.

    In place of foolbox 3.3.4's own, which draws one noise for the whole batch from torch's global generator, and
    divides the estimates by the norm of all of them together, so that steps shrink as batches grow. Here an example's
    directions come from a generator seeded by its content, and each estimate has norm 1. Directions are evaluated in
    blocks instead of all being held at once, which for images is gigabytes.

    Parameters
    ----------
    adversarial : callable
        Gets R points for each of the B examples, [R · B, ...], and R; returns bool [R · B].
    examples : tensor of shape [B, ...]
    norm : {2, math.inf}
    seed : int
    block_size : int

    References
    ----------
    Chen, Jordan and Wainwright, 2020, "HopSkipJumpAttack: a query-efficient decision-based attack" (arXiv 1904.02144),
    section III-C: the estimate with the mean decision as baseline.
    """

    def __init__(
        self,
        adversarial: Callable[[torch.Tensor, int], torch.Tensor],
        examples: torch.Tensor,
        *,
        norm: float,
        seed: int,
        block_size: int,
    ) -> None:
        self._adversarial = adversarial
        self._generators = [np.random.default_rng([example_seed(row), seed]) for row in examples.cpu().numpy()]
        self._norm = norm
        self._block_size = block_size

    def estimate(self, points: torch.Tensor, n_directions: int, delta: torch.Tensor) -> torch.Tensor:
        """Normals of L2 norm 1 that point to the other class, [B, ...].

        Parameters
        ----------
        points : tensor of shape [B, ...]
            Beside the boundary, in [0, 1].
        n_directions : int
        delta : tensor of shape [B]
            Length of the probes.
        """
        n = len(points)
        length = delta.reshape(n, *[1] * (points.ndim - 1))
        signed, total = torch.zeros_like(points), torch.zeros_like(points)  # Σ decision · direction, Σ direction
        decisions = torch.zeros_like(delta)
        block = max(1, self._block_size // n)
        for start in range(0, n_directions, block):
            repeats = min(block, n_directions - start)
            probes = (points + length * self._directions(points, repeats)).clamp(0, 1)
            directions = (probes - points) / (length + 1e-8)  # what is left of them inside the cube
            beyond = self._adversarial(probes.flatten(0, 1), repeats).reshape(repeats, *length.shape)
            signs = torch.where(beyond, 1.0, -1.0)
            signed += (signs * directions).sum(dim=0)
            total += directions.sum(dim=0)
            decisions += signs.sum(dim=0).flatten()
        mean = (decisions / n_directions).reshape(length.shape)
        normal = torch.where(mean.abs() == 1, signed, signed - mean * total)
        return normal / (normal.flatten(1).norm(dim=1).reshape(length.shape) + 1e-12)

    def _directions(self, points: torch.Tensor, repeats: int) -> torch.Tensor:
        """Random directions of L2 norm 1 for each point: [repeats, B, ...]."""
        shape = (repeats, math.prod(points.shape[1:]))
        if self._norm == 2:
            drawn = [generator.standard_normal(shape) for generator in self._generators]
        else:
            drawn = [generator.uniform(-1, 1, shape) for generator in self._generators]
        directions = torch.from_numpy(np.stack(drawn, axis=1)).float().to(points.device)
        directions /= directions.norm(dim=2, keepdim=True) + 1e-12
        return directions.reshape(repeats, *points.shape)


def is_adversarial(cube: UnitCube, points: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Whether each point is given another class than its label: bool [batch]."""
    return cube(points).argmax(dim=1) != labels
