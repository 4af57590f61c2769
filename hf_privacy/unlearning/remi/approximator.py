"""The privacy approximator: a small network that tells members from others, differentiable in what it sees."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

from hf_privacy.errors import InputError

_VALIDATION_SHARE = 0.2
_BATCH = 128
# Of many examples, as many shadow models have them, larger batches: an epoch is this many steps at most.
_STEPS_AN_EPOCH = 64
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 1e-4
# Adam on standardised features; a feature that hardly varies is not blown up by its scale.
_SMALLEST_SCALE = 1e-6


class MembershipApproximator(nn.Module):
    """A(h): the logit of "member", from features standardised as they were in its training.

    A multilayer perceptron of 128 and 64 units, frozen once it is fitted: gradients flow through it, not into it.

    Parameters
    ----------
    columns : int tensor [D]
        Which features it reads.
    mean, scale : tensor [D]
        Of those features in its training set.
    """

    def __init__(self, columns: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("columns", columns)
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.layers = nn.Sequential(
            nn.Linear(len(columns), 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1)
        )
        # Area under the ROC curve on the fifth of the examples it was not fitted on; .5 is guessing.
        self.validation_auc = 0.5

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [B] of features [B, width]."""
        return self.layers((features[:, self.columns] - self.mean) / self.scale).squeeze(1)


def fit_approximator(
    features: torch.Tensor,
    membership: np.ndarray,
    *,
    epochs: int = 50,
    selection: str = "none",
    n_selected: int = 64,
    always: int = 0,
    seed: int = 0,
) -> MembershipApproximator:
    """Fit an approximator on examples known to be members and others.

    Parameters
    ----------
    features : float tensor [N, width]
    membership : bool array [N]
        The two sides are weighted alike.
    epochs : int
    selection : {"none", "t", "ks"}
        Keep the columns that separate the sides best, by Welch's t or the Kolmogorov-Smirnov distance.
    n_selected : int
        How many of them.
    always : int
        The first so many columns are kept anyway.
    seed : int

    Returns
    -------
    MembershipApproximator
        In evaluation mode, frozen, on the CPU, with ``validation_auc``.

    Raises
    ------
    InputError
        For fewer than 10 members or others, or features that are not finite.
    """
    membership = np.asarray(membership, dtype=bool)
    sides = int(membership.sum()), int((~membership).sum())
    if min(sides) < 10:
        raise InputError(f"the approximator has {sides[0]} members and {sides[1]} others: it needs 10 of each or more")
    if not torch.isfinite(features).all():
        raise InputError("features have NaN or infinite values: the model has diverged")
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(features), generator=generator)
    n_validation = int(_VALIDATION_SHARE * len(features))
    held, used = order[:n_validation], order[n_validation:]
    labels = torch.from_numpy(membership).float()
    columns = _columns(features[used].numpy(), membership[used.numpy()], selection, n_selected, always)
    chosen = features[:, columns]
    mean, scale = chosen[used].mean(dim=0), chosen[used].std(dim=0).clamp_min(_SMALLEST_SCALE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        approximator = MembershipApproximator(columns, mean, scale)
    weight = torch.tensor(float((labels[used] == 0).sum() / max(float((labels[used] == 1).sum()), 1.0)))
    batch_size = max(_BATCH, math.ceil(len(used) / _STEPS_AN_EPOCH))
    optimizer = torch.optim.Adam(approximator.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    for _ in range(epochs):
        shuffled = used[torch.randperm(len(used), generator=generator)]
        for rows in shuffled.split(batch_size):
            loss = F.binary_cross_entropy_with_logits(approximator(features[rows]), labels[rows], pos_weight=weight)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    optimizer.zero_grad()
    with torch.no_grad():
        if len(set(membership[held.numpy()])) == 2:
            approximator.validation_auc = float(roc_auc_score(membership[held.numpy()], approximator(features[held])))
    return approximator.requires_grad_(False).eval()


def _columns(
    features: np.ndarray, membership: np.ndarray, selection: str, n_selected: int, always: int
) -> torch.Tensor:
    width = features.shape[1]
    if selection == "none" or n_selected >= width - always:
        return torch.arange(width)
    inside, outside = features[membership, always:], features[~membership, always:]
    if selection == "t":
        with np.errstate(all="ignore"):
            separation = np.nan_to_num(np.abs(stats.ttest_ind(inside, outside, equal_var=False).statistic))
    elif selection == "ks":
        separation = np.array(
            [stats.ks_2samp(inside[:, column], outside[:, column]).statistic for column in range(inside.shape[1])]
        )
    else:
        raise InputError(f"selection is {selection!r}: pass 'none', 't' or 'ks'")
    best = always + np.sort(np.argsort(-separation, kind="stable")[:n_selected])
    return torch.from_numpy(np.concatenate([np.arange(always), best]))


def gaussian_kl(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """KL(N(m₁, v₁) ‖ N(m₂, v₂)) of Gaussians with the means and variances of two samples.

    ½[log(v₂/v₁) + (v₁ + (m₁ − m₂)²)/v₂ − 1]; a variance below 1e-6 counts as 1e-6.

    Parameters
    ----------
    first, second : tensor [n], [m]
        Two values or more.

    Examples
    --------
    >>> float(gaussian_kl(torch.tensor([-1.0, 1.0]), torch.tensor([0.0, 2.0])))
    0.25
    """
    m1, m2 = first.mean(), second.mean()
    v1, v2 = first.var().clamp_min(1e-6), second.var().clamp_min(1e-6)
    return 0.5 * (torch.log(v2 / v1) + (v1 + (m1 - m2).square()) / v2 - 1)
