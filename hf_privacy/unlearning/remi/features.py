"""What a membership approximator sees of an example: differentiable in the model's weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals import evaluation_mode, recorded_features

FEATURES = ("posteriors", "loss", "phi", "entropy", "label", "activations")


def membership_features(
    logits: torch.Tensor, labels: torch.Tensor, *, features: Sequence[str], activations: torch.Tensor | None = None
) -> torch.Tensor:
    """h(x) of each example, its parts side by side in the order of ``features``.

    Parameters
    ----------
    logits : float tensor [B, C]
    labels : int tensor [B]
    features : sequence of str
        Of ``FEATURES``: "posteriors" p [C], "loss" −log p_y, "phi" the log odds of the true class, "entropy" of p,
        "label" one-hot [C], "activations" the penultimate features [D].
    activations : tensor [B, D], optional

    Returns
    -------
    float32 tensor [B, width]

    Examples
    --------
    >>> membership_features(torch.zeros(1, 2), torch.tensor([0]), features=["posteriors", "label", "phi"])
    tensor([[0.5000, 0.5000, 1.0000, 0.0000, 0.0000]])
    """
    log_p = F.log_softmax(logits.float(), dim=1)
    own = labels.unsqueeze(1)
    parts = []
    for name in features:
        if name == "posteriors":
            parts.append(log_p.exp())
        elif name == "loss":
            parts.append(-log_p.gather(1, own))
        elif name == "phi":
            others = logits.float().scatter(1, own, -torch.inf).logsumexp(dim=1, keepdim=True)
            parts.append(logits.float().gather(1, own) - others)
        elif name == "entropy":
            parts.append(-(log_p.exp() * log_p).sum(dim=1, keepdim=True))
        elif name == "label":
            parts.append(F.one_hot(labels, logits.shape[1]).float())
        elif name == "activations":
            if activations is None:
                raise InputError("features hold activations and none were recorded: leave them out")
            parts.append(activations.float())
        else:
            raise InputError(f"features hold {name!r}: pass any of {', '.join(FEATURES)}")
    return torch.cat(parts, dim=1)


@torch.no_grad()
def dataset_features(
    model: torch.nn.Module, dataset: TensorDataset, *, features: Sequence[str], batch_size: int = 512
) -> torch.Tensor:
    """`membership_features` of a whole dataset under a plain model in evaluation mode, on the CPU.

    Returns
    -------
    float32 tensor [N, width]
    """
    device = next(model.parameters()).device
    rows = []
    with evaluation_mode(model), recorded_features(model) as last:
        for start in range(0, len(dataset), batch_size):
            batch = dataset.__getitems__(range(start, min(start + batch_size, len(dataset))))
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            labels = batch.pop("labels")
            logits = model(**batch).logits
            activations = last(logits) if "activations" in features else None
            rows.append(membership_features(logits, labels, features=features, activations=activations).cpu())
    return torch.cat(rows)
