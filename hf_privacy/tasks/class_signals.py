"""Per-example signals, computed in float64 straight from the logits."""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

from hf_privacy.arguments import check_instance
from hf_privacy.errors import InputError


def signals_from_logits(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """The seven per-example signals the attacks read.

    Every value is a function of its own row alone: an example's signal never depends on its batch-mates. Nothing
    goes through a clipped probability, so the values stay exact and finite for logits of any size up to ±1e4 and
    beyond; ``log(1 − p_y)`` is a log-sum-exp over the other classes, never ``log`` of a rounded difference.

    Parameters
    ----------
    logits : tensor of shape [N, C], C ≥ 2
        Raw outputs in any floating dtype; half precision is first brought to float64.
    labels : integer tensor of shape [N]
        True class of each example, in ``0 … C − 1``.

    Returns
    -------
    dict of str to float64 tensor of shape [N], on the device of `logits`
        ``phi``: ``logit_y − logsumexp_{j≠y} logit_j``, the log odds of the true class (Carlini et al., 2022,
        "Membership inference attacks from first principles", section IV-C, without its probability round trip).
        ``loss``: ``−log p_y`` in nats, ≥ 0.
        ``probability``: ``p_y`` in [0, 1].
        ``margin``: ``logit_y − max_{j≠y} logit_j``.
        ``entropy``: ``−Σ_j p_j log p_j`` in nats, in [0, ln C].
        ``modified_entropy``: ``−(1 − p_y) log p_y − Σ_{j≠y} p_j log(1 − p_j)``, ≥ 0, 0 for a sure and right
        prediction (Song & Mittal, 2021, "Systematic evaluation of privacy risks", section 3.2).
        ``correct``: 1.0 where the true class has the largest logit (the first of equals counts, as argmax has it).

    Raises
    ------
    InputError
        For other shapes, fewer than two classes, labels that are not integers in range, or logits with NaN or
        infinite values.

    Examples
    --------
    >>> import torch
    >>> signals = signals_from_logits(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    >>> signals["phi"].tolist()
    [2.0, 0.0]
    >>> [round(value, 4) for value in signals["loss"].tolist()]
    [0.1269, 0.6931]
    """
    _check(logits, labels)
    labels = labels.to(logits.device, torch.int64)
    logits = logits.detach().to(torch.float64)
    index = labels.unsqueeze(1)
    is_label = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, index, True)

    log_others = _log_sum_others(logits)  # [N, C]: logsumexp over the classes other than j
    log_total = torch.logsumexp(logits, dim=1, keepdim=True)
    log_p = logsigmoid(logits - log_others)  # log p_j
    log_not_p = logsigmoid(log_others - logits)  # log(1 − p_j), exact however close p_j is to 1
    p = torch.exp(logits - log_total)

    logit_of_label = logits.gather(1, index).squeeze(1)
    log_p_label = log_p.gather(1, index).squeeze(1)
    not_p_label = torch.exp(log_not_p.gather(1, index).squeeze(1))
    others_term = (p * log_not_p).masked_fill(is_label, 0.0).sum(1)
    return {
        "phi": logit_of_label - log_others.gather(1, index).squeeze(1),
        "loss": -log_p_label,
        "probability": torch.exp(log_p_label),
        "margin": logit_of_label - logits.masked_fill(is_label, -torch.inf).amax(1),
        "entropy": -(p * log_p).sum(1).clamp(max=0.0),
        "modified_entropy": -(not_p_label * log_p_label) - others_term,
        "correct": (logits.argmax(1) == labels).to(torch.float64),
    }


def _log_sum_others(logits: torch.Tensor) -> torch.Tensor:
    """For each class j the log-sum-exp of the logits of all classes but j, shape [N, C].

    Subtracting ``exp(logit_j)`` from the whole sum would cancel when class j dominates. All classes but the largest
    one can use it safely, because the largest stays in their sum; the largest gets a sum of its own without it.
    """
    top = logits.argmax(1, keepdim=True)
    shifted = torch.exp(logits - logits.gather(1, top))
    is_top = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, top, True)
    rest = shifted.masked_fill(is_top, 0.0)
    # 1 + Σ rest − rest_j loses nothing: the terms are ≤ 1 and their sum stays ≥ 1.
    others = logits.gather(1, top) + torch.log1p((rest.sum(1, keepdim=True) - rest).clamp(min=0.0))
    top_others = torch.logsumexp(logits.masked_fill(is_top, -torch.inf), dim=1, keepdim=True)
    return torch.where(is_top, top_others, others)


def _check(logits: torch.Tensor, labels: torch.Tensor) -> None:
    check_instance("logits", logits, torch.Tensor)
    check_instance("labels", labels, torch.Tensor)
    if logits.ndim != 2 or not logits.is_floating_point():
        raise InputError(
            f"logits has shape {list(logits.shape)} and dtype {logits.dtype}: pass one row of floating-point class "
            "scores per example"
        )
    if logits.shape[1] < 2:
        raise InputError(f"logits has {logits.shape[1]} class: pass the logits of at least two classes")
    if labels.shape != logits.shape[:1]:
        raise InputError(
            f"labels has shape {list(labels.shape)} and logits {list(logits.shape)}: pass one label per row of logits"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise InputError(f"labels has dtype {labels.dtype}: pass integer class numbers")
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise InputError(
            f"labels go from {int(labels.min())} to {int(labels.max())} and logits has {logits.shape[1]} classes: "
            "pass class numbers from 0 to C − 1"
        )
    bad = (~torch.isfinite(logits)).any(1)
    if bool(bad.any()):
        raise InputError(
            f"logits has NaN or infinite values in {int(bad.sum())} of {len(bad)} rows: the model has diverged; lower "
            "its learning rate or load other weights"
        )
