"""SCRUB: a student that leaves its teacher where it is to forget, and stays with it elsewhere."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.unlearning.base.distillation import distillation_loss
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.scrub.config import SCRUBConfig


class SCRUBTrainer(UnlearningTrainer):
    """`UnlearningTrainer` that alternates max-steps on the forget set with min-steps on the retain set.

    The teacher is the original model. Max: −KL(teacher ‖ student) on the forget batch. Min: α·KL(teacher ‖ student) +
    γ·CE on the retain batch. In the first ``forget_share`` of the run every other step is a max-step; then all mend.

    Parameters
    ----------
    args : SCRUBConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Kurmanji et al. (2023), "Towards unbounded machine unlearning", NeurIPS, arXiv 2302.09880, equation 3 and algorithm
    1. The authors alternate whole passes over the two sets; here single steps alternate, so that a run may be shorter
    than a pass over the retain set.
    """

    config_class: ClassVar[type[SCRUBConfig]] = SCRUBConfig
    unlearning_name: ClassVar[str] = "scrub"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Towards Unbounded Machine Unlearning",
        "id": "arXiv:2302.09880",
        "citation": "Meghdad Kurmanji, Peter Triantafillou, Jamie Hayes and Eleni Triantafillou. Towards Unbounded "
        "Machine Unlearning. NeurIPS 2023.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"alpha": [0.1, 0.5, 1.0], "forget_share": [0.2, 0.5]}

    args: SCRUBConfig

    def prepare(self) -> None:
        """Keep the original model as the teacher."""
        self.teacher = self.original_model()

    @property
    def is_max_step(self) -> bool:
        """Whether this optimizer step moves away from the teacher on the forget set."""
        return self.state.global_step % 2 == 0 and self.state.global_step < (
            self.args.forget_share * self.state.max_steps
        )

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """The loss of a max-step, or of a min-step."""
        batch = forget if self.is_max_step else retain
        with torch.no_grad():
            taught = self.logits_of(self.teacher, batch)
        logits = self.logits_of(model, batch)
        divergence = distillation_loss(logits, taught, temperature=self.args.temperature)
        if self.is_max_step:
            return -divergence
        kept = self.task.example_losses({"logits": logits}, batch).mean()
        return self.args.alpha * divergence + self.args.gamma * kept
