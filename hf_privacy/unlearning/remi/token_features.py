"""What a membership approximator sees of a row of tokens: what attacks read of it, differentiable in the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import base_of
from hf_privacy.signals import evaluation_mode, signals_and_tokens
from hf_privacy.tasks import task_of

if TYPE_CHECKING:
    from hf_privacy.models import ScoredTokens

TOKEN_FEATURES = ("loss", "min_k", "min_k_plus_plus", "mean_entropy", "base_difference")
_K = 0.2  # as the audit's table has it
_SMALLEST_VARIANCE = 1e-6
_ROUNDING = 1e-9
_ROWS = 32


def token_features(
    scored: ScoredTokens, *, features: Sequence[str], base_loss: torch.Tensor | None = None
) -> torch.Tensor:
    """h(x) of each row, side by side in the order of ``features``, with gradients into the model.

    Parameters
    ----------
    scored : ScoredTokens
        What the model says of a batch.
    features : sequence of str
        Of ``TOKEN_FEATURES``: "loss", the mean of −log p over the row's scored tokens in nats; "min_k" and
        "min_k_plus_plus" of their lowest fifth, see `hf_privacy.attacks`; "mean_entropy" in nats; "base_difference",
        the loss less that of the base checkpoint.
    base_loss : tensor [B], optional
        For the last.

    Returns
    -------
    float32 tensor [B, width]

    Raises
    ------
    InputError
        For another feature, or "base_difference" without the base's losses.

    Examples
    --------
    >>> from hf_privacy.models import ScoredTokens
    >>> scored = ScoredTokens.of_logits(torch.zeros(1, 3, 4), torch.tensor([[-100, 0, 1]]))
    >>> token_features(scored, features=["loss", "min_k", "mean_entropy"])
    tensor([[ 1.3863, -1.3863,  1.3863]])
    """
    log_prob, mean, variance = scored.map(_moments)
    loss = -scored.row_means(log_prob)
    parts = []
    for name in features:
        if name == "loss":
            parts.append(loss)
        elif name == "min_k":
            parts.append(_lowest(log_prob, scored.counts))
        elif name == "min_k_plus_plus":
            standard = (log_prob - mean) / variance.clamp_min(_SMALLEST_VARIANCE).sqrt()
            parts.append(_lowest(standard, scored.counts))
        elif name == "mean_entropy":
            parts.append(-scored.row_means(mean))
        elif name == "base_difference" and base_loss is not None:
            parts.append(loss - base_loss.to(loss))
        elif name == "base_difference":
            raise InputError("features hold 'base_difference' and the base checkpoint's losses are not given")
        else:
            raise InputError(f"features hold {name!r}: of a language model pass any of {', '.join(TOKEN_FEATURES)}")
    return torch.stack(parts, dim=1).float()


def _moments(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Log p of the token, and mean and variance of log p under the model's own distribution: [n] each."""
    log_p = torch.log_softmax(logits, dim=-1)
    log_prob = log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    p, bounded = log_p.exp(), log_p.clamp_min(-1e4)  # a token of probability 0 counts for nothing
    mean = (p * bounded).sum(dim=-1)
    return log_prob, mean, (p * (bounded - mean.unsqueeze(-1)).square()).sum(dim=-1)


def _lowest(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean of each row's max(1, ⌊k·n⌋) smallest values: [n] to [B]."""
    rows = torch.nn.utils.rnn.pad_sequence(
        list(values.split(counts.tolist())), batch_first=True, padding_value=float("inf")
    )
    kept = (_K * counts + _ROUNDING).floor().clamp_min(1)
    # What fills up a row sorts to its end, and is never among those kept.
    inside = torch.arange(rows.shape[1], device=rows.device) < kept.unsqueeze(1)
    return torch.where(inside, rows.sort(dim=1).values, 0.0).sum(dim=1) / kept


def base_losses(model: torch.nn.Module, dataset: TensorDataset) -> torch.Tensor:
    """The loss of each row under the model with its adapter off: float64 [N], on the CPU."""
    with base_of(model) as base:
        return torch.from_numpy(signals_and_tokens(base, dataset, batch_size=_ROWS)[0]["loss"][0])


@torch.no_grad()
def dataset_token_features(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    features: Sequence[str],
    base_loss: torch.Tensor | None = None,
    batch_size: int = _ROWS,
) -> torch.Tensor:
    """`token_features` of a whole dataset under a plain model in evaluation mode, on the CPU.

    Returns
    -------
    float32 tensor [N, width]
    """
    device, task, found = next(model.parameters()).device, task_of(model), []
    with evaluation_mode(model):
        for start in range(0, len(dataset), batch_size):
            rows = range(start, min(start + batch_size, len(dataset)))
            batch = {name: tensor.to(device) for name, tensor in dataset.__getitems__(rows).items()}
            of_base = None if base_loss is None else base_loss[start : start + batch_size].to(device)
            found.append(token_features(task.forward(model, batch), features=features, base_loss=of_base).cpu())
    return torch.cat(found)
