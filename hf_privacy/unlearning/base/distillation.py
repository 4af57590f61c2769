"""The divergence between a teacher's and a student's predictions."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def distillation_loss(student: torch.Tensor, teacher: torch.Tensor, *, temperature: float = 1.0) -> torch.Tensor:
    """T²·KL(softmax(teacher/T) ‖ softmax(student/T)), mean over the batch.

    Parameters
    ----------
    student, teacher : tensor [B, C]
        Logits; no gradient flows into the teacher's.
    temperature : float
        T; T² keeps the gradient's size.

    Examples
    --------
    >>> logits = torch.tensor([[2.0, 0.0]])
    >>> float(distillation_loss(logits, logits)), round(float(distillation_loss(logits, -logits)), 4)
    (0.0, 1.5232)
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher.detach() / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2
