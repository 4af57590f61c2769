"""What the generator and the discriminator of SPD-GAN minimise."""

from __future__ import annotations

import torch


def discriminator_loss(real_scores: torch.Tensor, fake_scores: torch.Tensor) -> torch.Tensor:
    """Least squares: ½·mean (D(x) − 1)² + ½·mean D(G(x))².

    References
    ----------
    Mao et al. (2017), "Least squares generative adversarial networks", ICCV, arXiv 1611.04076, equation 9.

    Examples
    --------
    >>> float(discriminator_loss(torch.tensor([1.0, 0.0]), torch.tensor([2.0])))
    2.25
    """
    return ((real_scores - 1).square().mean() + fake_scores.square().mean()) / 2


def adversarial_loss(fake_scores: torch.Tensor) -> torch.Tensor:
    """The generator's side: ½·mean (D(G(x)) − 1)².

    Examples
    --------
    >>> float(adversarial_loss(torch.tensor([1.0, -1.0])))
    1.0
    """
    return (fake_scores - 1).square().mean() / 2


def residual_hinge(residual: torch.Tensor, *, bound: float) -> torch.Tensor:
    """Keep the change small: mean max(0, ‖r‖₂ − bound), the norm of each image's change over all its pixels.

    Parameters
    ----------
    residual : tensor [B, C, H, W]
        What each pixel, in [0, 1], is changed by.
    bound : float

    References
    ----------
    Xiao et al. (2018), "Generating adversarial examples with adversarial networks", IJCAI, arXiv 1801.02610,
    equation 3.

    Examples
    --------
    >>> residual = torch.tensor([[3.0, 4.0], [0.3, 0.4]]).reshape(2, 1, 1, 2)
    >>> float(residual_hinge(residual, bound=1.0))
    2.0
    """
    return (torch.linalg.vector_norm(residual.flatten(1), dim=1) - bound).clamp_min(0).mean()


def label_hinge(logits: torch.Tensor, labels: torch.Tensor, *, margin: float) -> torch.Tensor:
    """Push off the label: mean max(0, z_y − max_{j≠y} z_j + margin), 0 once another class leads by the margin.

    Parameters
    ----------
    logits : tensor [B, C]
        Of the classifier that never saw the forget set.
    labels : int64 tensor [B]
    margin : float

    References
    ----------
    Carlini and Wagner (2017), "Towards evaluating the robustness of neural networks", IEEE S&P, arXiv 1608.04644.

    Examples
    --------
    >>> logits, labels = torch.tensor([[3.0, 1.0], [0.0, 9.0]]), torch.tensor([0, 0])
    >>> float(label_hinge(logits, labels, margin=1.0))
    1.5
    """
    of_label = logits.gather(1, labels[:, None]).squeeze(1)
    of_others = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (of_label - of_others + margin).clamp_min(0).mean()
