"""What an attack raises, for each example by itself."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from hf_privacy.errors import InputError

LOSSES = ("cross_entropy", "cw", "kl", "reverse_kl")
# Those that need the clean logits, and whose gradient at the example itself is 0.
DIVERGENCES = ("kl", "reverse_kl")


def attack_loss(
    logits: torch.Tensor, labels: torch.Tensor, *, loss: str, clean_logits: torch.Tensor | None = None
) -> torch.Tensor:
    """Loss of each example, not reduced, so that no example weighs on another's gradient.

    Parameters
    ----------
    logits : float tensor [B, C]
        z, at the points; p is its softmax.
    labels : int64 tensor [B]
        y.
    loss : {"cross_entropy", "cw", "kl", "reverse_kl"}
        −ln p_y; max_{k≠y} z_k − z_y; or, with q the softmax of `clean_logits`, KL(q ‖ p) or KL(p ‖ q).
    clean_logits : float tensor [B, C], optional
        For the two divergences; taken as fixed.

    Returns
    -------
    float tensor [B]

    Raises
    ------
    InputError
        For fewer than two classes, or a divergence without `clean_logits` of the shape of `logits`.

    Examples
    --------
    >>> logits, labels = torch.tensor([[2.0, 0.5, 1.0]]), torch.tensor([0])
    >>> attack_loss(logits, labels, loss="cw")
    tensor([-1.])
    >>> attack_loss(logits, labels, loss="kl", clean_logits=logits)
    tensor([0.])
    """
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise InputError(f"the model gives logits of shape {list(logits.shape)}: a classifier's are [B, C] with C ≥ 2")
    if loss == "cross_entropy":
        return F.cross_entropy(logits, labels, reduction="none")
    if loss == "cw":
        true = labels[:, None]
        others = logits.scatter(1, true, -torch.inf)
        return others.amax(dim=1) - logits.gather(1, true)[:, 0]
    if clean_logits is None or clean_logits.shape != logits.shape:
        seen = "missing" if clean_logits is None else f"of shape {list(clean_logits.shape)}"
        raise InputError(f"clean_logits is {seen}: the KL loss needs the clean logits {list(logits.shape)}")
    log_p, log_q = F.log_softmax(logits, dim=1), F.log_softmax(clean_logits.detach(), dim=1)
    if loss == "kl":
        return (log_q.exp() * (log_q - log_p)).sum(dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)
