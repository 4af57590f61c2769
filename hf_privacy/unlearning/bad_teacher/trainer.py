"""Bad teacher: learn from one that knows nothing what to forget, and from the original what to keep."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.unlearning.bad_teacher.config import BadTeacherConfig
from hf_privacy.unlearning.base.distillation import distillation_loss
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.weights import reinitialise


class BadTeacherTrainer(UnlearningTrainer):
    """`UnlearningTrainer` on KL(incompetent ‖ student) on the forget set + KL(original ‖ student) on the retain set.

    The incompetent teacher is the original with every trainable weight drawn anew, as its layer draws it when made.

    Parameters
    ----------
    args : BadTeacherConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Chundawat et al. (2023), "Can bad teaching induce forgetting?", AAAI, arXiv 2205.08096, equation 4. The authors
    shuffle both sets together; here each batch holds both, in ``partner_ratio``.
    """

    config_class: ClassVar[type[BadTeacherConfig]] = BadTeacherConfig
    unlearning_name: ClassVar[str] = "bad_teacher"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks Using an Incompetent Teacher",
        "id": "arXiv:2205.08096",
        "citation": "Vikram S. Chundawat, Ayush K. Tarun, Murari Mandal and Mohan Kankanhalli. Can Bad Teaching "
        "Induce Forgetting? Unlearning in Deep Networks Using an Incompetent Teacher. AAAI 2023.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"learning_rate": [1e-4, 1e-3, 1e-2]}

    args: BadTeacherConfig

    def prepare(self) -> None:
        """Keep the original as one teacher, and a copy drawn anew as the other."""
        self.competent = self.original_model()
        self.incompetent = self.original_model()
        trainable = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        everything = {name: torch.ones_like(parameter, dtype=torch.bool) for name, parameter in trainable.items()}
        generator = torch.Generator().manual_seed(self.args.seed)
        reinitialise(self.incompetent, everything, generator=generator)

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """The sum of both divergences."""
        losses = []
        for batch, teacher in ((forget, self.incompetent), (retain, self.competent)):
            with torch.no_grad():
                taught = self.logits_of(teacher, batch)
            student = self.logits_of(model, batch)
            losses.append(distillation_loss(student, taught, temperature=self.args.temperature))
        return losses[0] + losses[1]
