"""What adversarial training minimises, example by example: pure functions of logits and labels.

All take the logits of the clean example x, of the adversarial one x′, or both, [B, C] in any float type, and give
float32 or float64 losses [B]; the batch's loss is their mean. The gradient runs through every probability in them, as
in the authors' codes.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

OBJECTIVES = ("pgd_at", "trades", "mart")
# Those that look at the clean example too, and so take a second forward pass.
NEEDS_CLEAN = ("trades", "mart")
# Which divergence TRADES' attack ascends: KL(f(x) ‖ f(x′)), that of its loss, or KL(f(x′) ‖ f(x)).
INNER_DIVERGENCES = ("kl", "reverse_kl")


def divergence(logits: torch.Tensor, other_logits: torch.Tensor) -> torch.Tensor:
    """KL(p ‖ q) of the two softmax distributions, summed over the classes.

    Parameters
    ----------
    logits, other_logits : tensor [B, C]
        Of p and of q.

    Returns
    -------
    tensor [B]
        In nats, at least 0.

    Examples
    --------
    >>> divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([0.1201])
    """
    log_p, log_q = F.log_softmax(logits, dim=1), F.log_softmax(other_logits, dim=1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=1)


def pgd_at(adversarial_logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """CE(f(x′), y): training on adversarial examples alone.

    Parameters
    ----------
    adversarial_logits : tensor [B, C]
    labels : int64 tensor [B]

    Returns
    -------
    tensor [B]

    References
    ----------
    Madry et al. (2018), "Towards deep learning models resistant to adversarial attacks", ICLR, arXiv 1706.06083.

    Examples
    --------
    >>> pgd_at(torch.zeros(1, 2), torch.tensor([0]))
    tensor([0.6931])
    """
    return F.cross_entropy(adversarial_logits, labels, reduction="none")


def trades(
    clean_logits: torch.Tensor, adversarial_logits: torch.Tensor, labels: torch.Tensor, *, beta: float
) -> torch.Tensor:
    """CE(f(x), y) + β·KL(f(x) ‖ f(x′)): the clean loss, and the price of moving away from the clean prediction.

    Parameters
    ----------
    clean_logits, adversarial_logits : tensor [B, C]
    labels : int64 tensor [B]
    beta : float
        At least 0; the authors' 1/λ.

    Returns
    -------
    tensor [B]

    References
    ----------
    Zhang et al. (2019), "Theoretically principled trade-off between robustness and accuracy", ICML, arXiv 1901.08573,
    and the authors' code.

    Examples
    --------
    >>> trades(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), beta=6.0)
    tensor([0.6931])
    """
    return F.cross_entropy(clean_logits, labels, reduction="none") + beta * divergence(
        clean_logits, adversarial_logits
    )


def mart(
    clean_logits: torch.Tensor, adversarial_logits: torch.Tensor, labels: torch.Tensor, *, beta: float
) -> torch.Tensor:
    """−ln p_y(x′) − ln(1 − max_{k≠y} p_k(x′)) + β·KL(p(x) ‖ p(x′))·(1 − p_y(x)): more weight on what is misclassified.

    Parameters
    ----------
    clean_logits, adversarial_logits : tensor [B, C]
    labels : int64 tensor [B]
    beta : float
        At least 0.

    Returns
    -------
    tensor [B]

    References
    ----------
    Wang et al. (2020), "Improving adversarial robustness requires revisiting misclassified examples", ICLR, and the
    authors' code. Departs in that no constant keeps the logarithms finite (theirs adds 1e-12 and takes 1.0001 − p):
    ln(1 − p_k) is the log-sum-exp of the other classes, exact where p_k rounds to one.

    Examples
    --------
    >>> mart(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), beta=6.0)  # 2 ln 2
    tensor([1.3863])
    """
    log_p = F.log_softmax(adversarial_logits, dim=1)
    classes = torch.arange(log_p.shape[1], device=log_p.device)
    rival = log_p.detach().masked_fill(classes == labels.unsqueeze(1), -torch.inf).argmax(dim=1, keepdim=True)
    of_rival = classes == rival
    log_without_rival = log_p.masked_fill(of_rival, -torch.inf).logsumexp(dim=1)
    margin = -log_p.gather(1, labels.unsqueeze(1)).squeeze(1) - log_without_rival
    clean_log_p_label = -F.cross_entropy(clean_logits, labels, reduction="none")
    missed = -torch.expm1(clean_log_p_label)
    return margin + beta * divergence(clean_logits, adversarial_logits) * missed
