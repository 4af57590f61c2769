"""Attacks of other libraries: one adapter that shows them a model as they expect it, and foolbox through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from hf_privacy.adversarial.input_space import EmbeddingSpace, FeatureSpace, Inputs, PixelSpace
from hf_privacy.arguments import check_number, check_seed
from hf_privacy.errors import InputError, one_line
from hf_privacy.models.modes import bare_model, float32_logits, no_parameter_gradients

if TYPE_CHECKING:
    from foolbox.attacks.base import Attack


class LogitsModel(nn.Module):
    """A model as outside libraries take one: a module from points (pixels in [0, 1]) to a tensor of logits.

    Made by :func:`logits_model`, which also takes care of the state the model is left in.

    Parameters
    ----------
    model : torch.nn.Module
        Held so that a library finds parameters, and with them the device.
    logits_of : callable
        From model inputs to float32 logits.
    space : PixelSpace or FeatureSpace
    """

    def __init__(
        self,
        model: nn.Module,
        logits_of: Callable[[Mapping[str, torch.Tensor]], torch.Tensor],
        space: PixelSpace | FeatureSpace,
    ) -> None:
        super().__init__()
        self.model = model
        self.space = space
        self._logits_of = logits_of
        self.training = False  # the model is in evaluation mode already; of this module libraries ask it too

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Logits float32 [B, C] of `points` [B, ...]."""
        return self._logits_of(self.space.inputs(points, {}))


@contextmanager
def logits_model(model: nn.Module, space: PixelSpace | FeatureSpace) -> Iterator[LogitsModel]:
    """Any classifier of this package (transformers, timm, LoRA, MLP) as a module for an outside library's attack.

    Inside, the model is in evaluation mode and float32 (:func:`~hf_privacy.models.modes.float32_logits`), and its
    parameters take no gradients: some attacks call ``backward`` and would add to those of a training in progress. On
    leaving everything is as it was.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` of shape [B, C].
    space : PixelSpace or FeatureSpace
        What the library's inputs are: pixels in [0, 1], or features as they are.

    Yields
    ------
    LogitsModel

    Raises
    ------
    InputError
        For word embeddings: outside attacks pass parts of a batch, which the attention mask cannot follow.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, num_labels=3)).train()
    >>> with logits_model(model, FeatureSpace()) as network:
    ...     network(torch.zeros(2, 4)).shape, model.training
    (torch.Size([2, 3]), False)
    >>> model.training
    True
    """
    if isinstance(space, EmbeddingSpace):
        raise InputError("space is EmbeddingSpace: outside attacks take pixels or features; use PGD for embeddings")
    bare = bare_model(model)
    with float32_logits(model) as logits_of, no_parameter_gradients(bare):
        yield LogitsModel(bare, logits_of, space)


@contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """The global generators of torch and NumPy start from `seed` inside, and go on afterwards as if nothing had drawn.

    Examples
    --------
    >>> with seeded_generators(0):
    ...     first = torch.rand(1)
    >>> with seeded_generators(0):
    ...     torch.equal(torch.rand(1), first)
    True
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    numpy_state = np.random.get_state()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)


@dataclass(frozen=True)
class FoolboxAttack:
    """An attack of foolbox within a ball; called as ``attack(model, inputs, labels)`` it gives adversarial inputs.

    Parameters
    ----------
    space : PixelSpace or FeatureSpace
        Features need both bounds: foolbox has no attack without.
    attack : foolbox.attacks.base.Attack
        Such as ``foolbox.attacks.LinfPGD(steps=20)``; its own norm counts.
    epsilon : float, optional
        Radius in the units of the space. None, for attacks that look for the smallest step, sets no limit.
    seed : int
        Of the random start. foolbox draws once for a whole batch, so an example's point depends on its batch.

    Raises
    ------
    InputError
        Without foolbox, for what is no attack of foolbox, a space without bounds, or a bad epsilon or seed.

    Examples
    --------
    >>> from foolbox.attacks import LinfPGD  # doctest: +SKIP
    >>> attack = FoolboxAttack(PixelSpace((0.5,), (0.5,)), LinfPGD(steps=20), 8 / 255)  # doctest: +SKIP
    """

    space: PixelSpace | FeatureSpace
    attack: Attack
    epsilon: float | None
    seed: int = 0

    def __post_init__(self) -> None:
        try:
            from foolbox.attacks.base import Attack
        except ImportError as error:
            raise missing_extra("FoolboxAttack", "foolbox", error) from None
        if not isinstance(self.attack, Attack):
            raise InputError(
                f"attack is {self.attack!r}: pass an attack of foolbox, such as foolbox.attacks.LinfPGD(steps=20)"
            )
        if None in self.space.bounds:
            raise InputError(
                f"space has the bounds {self.space.bounds}: foolbox needs both, pass PixelSpace or "
                "FeatureSpace(low=…, high=…)"
            )
        if self.epsilon is not None:
            check_number("epsilon", self.epsilon, 0.0, such_as="8/255 for pixels")
        check_seed(self.seed)

    def points(self, model: nn.Module, inputs: Inputs, labels: torch.Tensor) -> torch.Tensor:
        """Adversarial points float32 [B, ...] of the space, detached; the example itself where foolbox found none."""
        from foolbox.criteria import Misclassification
        from foolbox.models import PyTorchModel

        clean = outside_points(model, inputs, self.space)
        with logits_model(model, self.space) as network, seeded_generators(self.seed):
            wrapped = PyTorchModel(network, bounds=self.space.bounds, device=clean.device)
            criterion = Misclassification(labels.to(clean.device))
            _, found, _ = self.attack(wrapped, clean.clone(), criterion, epsilons=self.epsilon)
        is_finite = found.flatten(1).isfinite().all(dim=1).reshape(-1, *[1] * (clean.ndim - 1))
        return self.space.clamp(torch.where(is_finite, found, clean)).detach()

    def __call__(self, model: nn.Module, inputs: Inputs, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """What to call the model with: the inputs with the adversarial points in place."""
        return self.space.inputs(self.points(model, inputs, labels), inputs)

    def describe(self) -> dict[str, Any]:
        """The settings as plain values, for reports and hashes."""
        return {
            "name": "foolbox",
            "attack": repr(self.attack),
            "epsilon": self.epsilon,
            "space": space_facts(self.space),
            "seed": self.seed,
        }


def outside_points(model: nn.Module, inputs: Inputs, space: PixelSpace | FeatureSpace) -> torch.Tensor:
    """The points of `inputs` on the model's device, refusing inputs that an outside attack cannot carry along.

    Raises
    ------
    InputError
    """
    others = sorted(set(inputs) - {space.column, "labels"})
    if others:
        raise InputError(
            f"inputs has {', '.join(others)} beside {space.column}: outside attacks pass parts of a batch, which "
            "these cannot follow; leave them out, or use PGD"
        )
    device = next(model.parameters()).device
    return space.points(model, {name: tensor.to(device) for name, tensor in inputs.items()})


def space_facts(space: PixelSpace | FeatureSpace) -> dict[str, Any]:
    """A space as plain values, for reports and hashes.

    Examples
    --------
    >>> space_facts(PixelSpace((0.5,), (0.25,)))
    {'name': 'pixels', 'mean': [0.5], 'std': [0.25]}
    """
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(space).items()}
    return {"name": space.name, **values}


def missing_extra(what: str, library: str, error: ImportError) -> InputError:
    """The error that names the extra of this package which `what` needs."""
    return InputError(f'{what} needs {library} ({one_line(error)}): pip install "hf-privacy[robust]"')
