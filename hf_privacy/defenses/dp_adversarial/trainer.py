"""Adversarial training with differential privacy, for the objectives that are a sum over examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch

from hf_privacy.adversarial.ball import drawn_in_ball
from hf_privacy.defenses.adversarial.mixin import PAPERS, AdversarialMixin
from hf_privacy.defenses.adversarial.trainer import AdversarialTrainer
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.demem.config import DeMemConfig
from hf_privacy.defenses.demem.trainer import DeMemTrainer
from hf_privacy.defenses.dp.per_sample_gradients import UNIT
from hf_privacy.defenses.dp.secret_stream import SecretStream
from hf_privacy.defenses.dp.trainer import DPTrainer
from hf_privacy.defenses.dp_adversarial.config import DPAdversarialConfig
from hf_privacy.errors import InputError
from hf_privacy.tasks import CLASSIFICATION

# The column that carries the attacked points to the per-sample gradients.
_POINTS = "adversarial_points"


def _with_dp(paper: dict[str, str]) -> dict[str, str]:
    return {key: f"{DPTrainer.paper[key]}; {text}" for key, text in paper.items()}


class DPAdversarialTrainer(AdversarialMixin, DPTrainer):
    """`DPTrainer` whose examples are attacked first, on PGD-AT, TRADES or MART.

    An example's adversarial input is found from that example, its label and the weights alone (the attack runs in
    evaluation mode, with the per-sample hooks off), and so is its loss: its clipped gradient hides it as in plain
    DP-SGD, and the same ε holds. Random starts are drawn as the noise is, by a cipher whose key nobody has. What
    couples the examples of a batch is refused: BatchNorm, DeMem's variance of their losses, and AWP, which reads the
    batch's gradient before any noise.

    Parameters
    ----------
    args : DPAdversarialConfig
    **others
        As in `DPTrainer` and `AdversarialTrainer`.

    Raises
    ------
    InputError
        Before training: as in both, or for a `DeMemConfig`.

    References
    ----------
    The combination is the DP baseline of DeMem (arXiv 2412.05767): Opacus with noise 0.1 and clipping norm 10 on
    PGD-AT, BatchNorm replaced by GroupNorm.
    """

    config_class: ClassVar[type[PrivacyConfig]] = DPAdversarialConfig
    defense_name: ClassVar[str] = "dp_adversarial"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFICATION
    # With the default objective; an instance names its own.
    paper: ClassVar[dict[str, str] | None] = _with_dp(PAPERS["pgd_at"])
    # DeMem's.
    paper_defaults: ClassVar[dict[str, Any]] = {
        "noise_multiplier": 0.1,
        "max_grad_norm": 10.0,
        **{key: value for key, value in DeMemTrainer.paper_defaults.items() if key != "variance_weight"},
    }
    search_space: ClassVar[dict[str, list[Any]]] = {
        "noise_multiplier": [0.1, 0.5, 1.0],
        "max_grad_norm": [0.1, 1.0, 10.0],
        "objective": AdversarialTrainer.search_space["objective"],
        "epsilon": AdversarialTrainer.search_space["epsilon"],
    }

    args: DPAdversarialConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        config = kwargs["args"] if "args" in kwargs else args[1] if len(args) > 1 else None
        if isinstance(config, DeMemConfig):
            raise InputError(
                "args is DeMemConfig: the variance of the losses couples the examples of a batch, so no example's "
                "influence is bounded and no ε would hold; pass a DPAdversarialConfig, or train with DeMemTrainer"
            )
        super().__init__(*args, **kwargs)
        self.paper = _with_dp(PAPERS[self.args.objective])
        self._starts = SecretStream()

    def private_inputs(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The batch with the points that its examples are attacked with."""
        assert self._clipped_sum is not None
        with self._clipped_sum.paused():
            given = {name: values for name, values in inputs.items() if name != UNIT}
            return {**inputs, _POINTS: self.adversarial_points(model, given)}

    @torch.no_grad()
    def start_noise(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """From a cipher of its own: starts that could be drawn again would shift with who is in the batch."""
        if not (self.attack.random_start and self.attack.epsilon > 0):
            return None
        points, starts = self.space.points(model, inputs), self._starts
        return drawn_in_ball(
            points,
            epsilon=self.attack.epsilon,
            norm=self.attack.norm,
            free=self.space.free(inputs, points),
            uniform=lambda shape: starts.uniform(shape.numel()).reshape(shape).to(points.device, torch.float32),
            normal=lambda shape: starts.normal(shape, device=points.device),
        )

    def private_losses(self, call: Callable[..., Any], batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The objective of each example, from its clean and its attacked input."""
        points = batch[_POINTS]
        inputs = {name: values for name, values in batch.items() if name not in (_POINTS, "labels")}

        def adversarial() -> Any:
            if self.space.name != "embeddings":
                return call(**self.space.inputs(points, inputs))
            # Through the table itself, so that its rows get the gradient of each example too.
            with _moved_to(points, self.model.get_input_embeddings()):
                return call(**inputs)

        losses, _ = self.example_losses(batch["labels"], clean=lambda: call(**inputs), adversarial=adversarial)
        return losses


@contextmanager
def _moved_to(points: torch.Tensor, table: torch.nn.Module) -> Iterator[None]:
    """Inside, the embedding table gives these points in place of the words', with the words' gradient."""
    handle = table.register_forward_hook(lambda module, inputs, embedded: embedded + (points - embedded.detach()))
    try:
        yield
    finally:
        handle.remove()
