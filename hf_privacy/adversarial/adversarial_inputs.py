"""Adversarial model inputs of a batch, the same for an example wherever it stands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hf_privacy.adversarial.input_space import Inputs, InputSpace
from hf_privacy.adversarial.pgd import PGD, pgd
from hf_privacy.arguments import check_seed, check_switch
from hf_privacy.data.example_generators import example_seed
from hf_privacy.models.modes import bare_model


@dataclass(frozen=True)
class AdversarialInputs:
    """An attack for evaluation: from a batch to the model inputs that the attack finds against that model.

    The random start of an example is drawn from its content, so that neither the order of examples nor the size of
    batches nor padding matters (but for the rounding of the model itself).

    Parameters
    ----------
    space : PixelSpace, FeatureSpace or EmbeddingSpace
    attack : PGD
    seed : int
        For the random starts.
    keep_best : bool
        Keep the worst point visited rather than the last one; see :func:`~hf_privacy.adversarial.pgd`.

    Raises
    ------
    InputError
        For a negative seed, or an epsilon that looks as if pixels went to 255.

    Examples
    --------
    >>> from hf_privacy.adversarial import FeatureSpace
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, num_labels=3))
    >>> attacked = AdversarialInputs(FeatureSpace(low=0.0, high=1.0), PGD(0.1))
    >>> attacked(model, {"features": torch.full((2, 4), 0.5)}, torch.tensor([0, 1]))["features"].shape
    torch.Size([2, 4])
    """

    space: InputSpace
    attack: PGD
    seed: int = 0
    keep_best: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_switch("keep_best", self.keep_best)
        self.attack.check_space(self.space)

    def __call__(self, model: nn.Module, inputs: Inputs, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """What to call `model` with in place of `inputs`, on the model's device and without labels.

        Raises
        ------
        InputError
            As :func:`~hf_privacy.adversarial.pgd`.
        """
        device = next(model.parameters()).device
        inputs = {name: tensor.to(device) for name, tensor in inputs.items()}
        noise = self._noise(model, inputs) if self.attack.random_start and self.attack.epsilon > 0 else None
        points = pgd(
            model,
            inputs,
            labels,
            space=self.space,
            attack=self.attack,
            start_noise=noise,
            keep_best=self.keep_best,
        )
        attacked = self.space.inputs(points, inputs)
        if self.space.column == "inputs_embeds":  # as the model's own table would give them
            embeddings = bare_model(model).get_input_embeddings().weight.dtype
            attacked["inputs_embeds"] = attacked["inputs_embeds"].to(embeddings)
        return attacked

    def describe(self) -> dict[str, Any]:
        """All settings as plain values, for hashes and reports; ``step_size`` is the one in use.

        Examples
        --------
        >>> from hf_privacy.adversarial import PixelSpace
        >>> facts = AdversarialInputs(PixelSpace((0.5,), (0.25,)), PGD(0.1, n_steps=5)).describe()
        >>> facts["space"], facts["step_size"]
        ({'name': 'pixels', 'mean': [0.5], 'std': [0.25]}, 0.025)
        """
        space = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self.space).items()}
        return {
            "space": {"name": self.space.name, **space},
            **asdict(self.attack),
            "step_size": self.attack.step,
            "keep_best": self.keep_best,
            "seed": self.seed,
        }

    def _noise(self, model: nn.Module, inputs: Inputs) -> torch.Tensor:
        """Uniform in each example's ball, [n_restarts, B, ...]; of a text's entries only those that may move."""
        points = self.space.points(model, inputs)
        free = self.space.free(inputs, points)
        content = inputs["input_ids" if self.space.column == "inputs_embeds" else self.space.column]
        content = (content.float() if content.is_floating_point() else content).cpu().numpy()
        places = None if free is None else free[..., 0].cpu().numpy()
        noise = np.zeros((self.attack.n_restarts, *points.shape), dtype=np.float32)
        for row in range(len(points)):
            where = slice(None) if places is None else places[row]
            number = example_seed(content[row][where])
            for restart in range(self.attack.n_restarts):
                generator = np.random.default_rng([number, self.seed, restart])
                noise[restart, row][where] = self._uniform(noise[restart, row][where].shape, generator)
        return torch.from_numpy(noise).to(points.device)

    def _uniform(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        if self.attack.norm == "linf":
            return self.attack.epsilon * generator.uniform(-1, 1, shape)
        direction = generator.standard_normal(shape)
        radius = self.attack.epsilon * generator.random() ** (1 / max(1, direction.size))
        return radius * direction / max(float(np.linalg.norm(direction)), 1e-30)
