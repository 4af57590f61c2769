"""RMU: the forget rows lose what a middle layer makes of them; the retain rows keep it."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import torch
from transformers.trainer_utils import TrainOutput

from hf_privacy.arrays import IGNORED
from hf_privacy.errors import InputError
from hf_privacy.models import bare_model
from hf_privacy.tasks.causal_lm import INPUT_NAMES
from hf_privacy.unlearning.base.language import LanguageUnlearningTrainer
from hf_privacy.unlearning.base.trainer import Batch
from hf_privacy.unlearning.rmu.config import RMUConfig

_AUTHORS_LAYER = 8  # they count from 0: their 7


class RMUTrainer(LanguageUnlearningTrainer):
    """`LanguageUnlearningTrainer` on mean ‖h(x_f) − c·u‖² + α·mean ‖h(x_r) − h_before(x_r)‖², h a layer's output.

    u is drawn once, uniform in [0, 1] in each dimension, and scaled to length 1; every process draws the same. Means
    are over a row's scored tokens, where these stand in the row, then over rows: a row's part does not hang on what
    other rows its batch has. (A code of reference divides each row's sum by every row's length, and means over the
    layer's width, which the authors' code does too and their formula does not.) All trainable weights move unless
    ``args.trained`` names some, as the authors name the down-projections of three layers.

    Parameters
    ----------
    args : RMUConfig
    **others
        As in `UnlearningTrainer`.

    Raises
    ------
    InputError
        For a layer that the model does not have, or names that no trainable weight has.

    References
    ----------
    Li et al. (2024), "The WMDP benchmark: measuring and reducing malicious use with unlearning", ICML, arXiv
    2403.03218.

    Examples
    --------
    >>> from hf_privacy.unlearning import RMUTrainer
    >>> RMUTrainer.needs_reference
    True
    """

    config_class: ClassVar[type[RMUConfig]] = RMUConfig
    unlearning_name: ClassVar[str] = "rmu"
    needs_reference: ClassVar[bool] = True
    paper: ClassVar[dict[str, str] | None] = {
        "title": "The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning",
        "id": "arXiv:2403.03218",
        "citation": "Nathaniel Li et al. The WMDP Benchmark: Measuring and Reducing Malicious Use With Unlearning. "
        "ICML 2024.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {
        "steering": [2.0, 10.0],
        "retain_weight": [1.0, 10.0],
        "learning_rate": [1e-5, 1e-4, 1e-3],
    }

    args: RMUConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = self.accelerator.unwrap_model(self.model).config.get_text_config()
        wanted, depth = self.args.layer, config.num_hidden_layers
        if wanted is not None and wanted > depth:
            raise InputError(f"layer is {wanted} and the model has {depth}: pass one of them")
        self._held = [name for name in self.trainable() if not self._is_trained(name)]
        if self._held == self.trainable():
            raise InputError(
                f"trained is {self.args.trained} and no trainable weight has such a name: look at "
                f"{self._held[0]!r} for how they are called"
            )
        self.layer = wanted or (_AUTHORS_LAYER if depth >= 2 * _AUTHORS_LAYER else max(1, depth // 2))

    def prepare(self) -> None:
        """Keep the model as it was, and draw the direction."""
        super().prepare()
        width = self.accelerator.unwrap_model(self.model).config.get_text_config().hidden_size
        direction = torch.rand(width, generator=torch.Generator().manual_seed(self.args.seed))
        self.target = (self.args.steering * direction / direction.norm()).to(self.args.device)

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """As any unlearner, with the weights that are not to move held."""
        held = [parameter for name, parameter in self.model.named_parameters() if name in self._held]
        for parameter in held:
            parameter.requires_grad_(False)
        try:
            return super().train(resume_from_checkpoint, **kwargs)
        finally:
            for parameter in held:
                parameter.requires_grad_(True)

    def _is_trained(self, name: str) -> bool:
        return self.args.trained is None or any(part in name for part in self.args.trained)

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """Both squared distances, the retain rows' weighted."""
        loss = _mean_square(self.layer_outputs(model, forget) - self.target, forget)
        if not self.args.retain_weight:
            return loss
        moved = self.layer_outputs(model, retain) - self.of_reference(self.layer_outputs, retain)
        return loss + self.args.retain_weight * _mean_square(moved, retain)

    def layer_outputs(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """What the layer makes of each position, in float32: [B, L, D]."""
        inputs: dict[str, Any] = {name: batch[name] for name in INPUT_NAMES if name in batch}
        if _may_leave_logits(model):
            inputs["logits_to_keep"] = 1
        return model(**inputs, output_hidden_states=True).hidden_states[self.layer].float()


def _may_leave_logits(model: torch.nn.Module) -> bool:
    """Whether the model can be told to make the logits of few positions: nobody looks at them here."""
    bare = bare_model(model)
    base = bare.get_base_model() if hasattr(bare, "get_base_model") else bare
    return "logits_to_keep" in inspect.signature(type(base).forward).parameters


def _mean_square(difference: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Squared length, mean over each row's scored tokens, then over rows."""
    scored = batch["labels"] != IGNORED
    scored[:, 0] = False  # told by nothing, it is scored nowhere else either
    squares = difference.square().sum(dim=-1) * scored
    return (squares.sum(dim=1) / scored.sum(dim=1)).mean()
