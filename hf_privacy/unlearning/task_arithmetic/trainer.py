"""Task arithmetic: train on the forget set, then go as far in the other direction."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from transformers.trainer_utils import TrainOutput

from hf_privacy.tasks import CLASSIFICATION, LANGUAGE_MODELS
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.task_arithmetic.config import TaskArithmeticConfig


class TaskArithmeticTrainer(UnlearningTrainer):
    """`UnlearningTrainer` that ends at θ − a·(θ_forget − θ), θ_forget being θ trained further on the forget set.

    It looks at no retain set. What a LoRA adapter adds is a product, B·A, and the difference of two products is no
    product of differences: there A stays as it is and B alone is trained, so that the end is exact.

    Checkpoints on the way hold θ_forget, from which a killed run goes on.

    Parameters
    ----------
    args : TaskArithmeticConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Ilharco, Ribeiro, Wortsman, Gururangan, Schmidt, Hajishirzi & Farhadi (2022), "Editing models with task
    arithmetic", ICLR 2023, arXiv 2212.04089.

    Examples
    --------
    >>> from hf_privacy.unlearning import TaskArithmeticTrainer
    >>> TaskArithmeticTrainer.uses
    ('forget',)
    """

    config_class: ClassVar[type[TaskArithmeticConfig]] = TaskArithmeticConfig
    unlearning_name: ClassVar[str] = "task_arithmetic"
    uses: ClassVar[tuple[str, ...]] = ("forget",)
    anchor: ClassVar[str] = "forget"
    tasks: ClassVar[tuple[str, ...]] = (*CLASSIFICATION, *LANGUAGE_MODELS)
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Editing Models with Task Arithmetic",
        "id": "arXiv:2212.04089",
        "citation": "Gabriel Ilharco, Marco Tulio Ribeiro, Mitchell Wortsman, Suchin Gururangan, Ludwig Schmidt, "
        "Hannaneh Hajishirzi and Ali Farhadi. Editing Models with Task Arithmetic. ICLR 2023.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"scale": [0.5, 1.0, 2.0], "learning_rate": [1e-5, 1e-4, 1e-3]}

    args: TaskArithmeticConfig

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """The loss of the forget batch, as in training."""
        return self.mean_loss(model, forget)

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """The epochs on the forget set, then the step the other way."""
        held = [p for name, p in self.model.named_parameters() if p.requires_grad and _is_first_factor(name)]
        for parameter in held:
            parameter.requires_grad_(False)
        try:
            output = super().train(resume_from_checkpoint, **kwargs)
        finally:
            for parameter in held:
                parameter.requires_grad_(True)
        self._step_back()
        return output

    @torch.no_grad()
    def _step_back(self) -> None:
        """θ − a·(θ_end − θ) for each trainable weight."""
        model = self.accelerator.unwrap_model(self.model)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                before = self.original_state[name].to(parameter)
                parameter.copy_(before - self.args.scale * (parameter - before))
        for name, buffer in model.named_buffers():
            if name in self.original_state:  # running statistics of the forget set are no weights to step back from
                buffer.copy_(self.original_state[name])


def _is_first_factor(name: str) -> bool:
    """Whether a weight is the A of an adapter's B·A, of a linear layer or of embeddings."""
    return "lora_A" in name or "lora_embedding_A" in name
