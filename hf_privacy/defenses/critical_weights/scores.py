"""Scores of the weights of a trained model, for critical weight rewinding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader

from hf_privacy.defenses.base.batch_sampler import MembershipBatchSampler
from hf_privacy.defenses.critical_weights.ranking import Ranking
from hf_privacy.defenses.critical_weights.settings import CriticalWeightSettings
from hf_privacy.weights import pearson_by_kind, privacy_vulnerability, taylor, weight_kinds
from hf_privacy.weights.vulnerability import network_at

Scores = dict[str, torch.Tensor]


class ShuffledBatches:
    """All examples of a dataset in batches, in another order each time they are gone through.

    Examples
    --------
    >>> from hf_privacy.data import TensorDataset, collate_batch
    >>> batches = ShuffledBatches(TensorDataset({"labels": torch.arange(4)}), collate_batch, batch_size=2, seed=0)
    >>> len(batches), sorted(int(label) for batch in batches for label in batch["labels"])
    (2, [0, 1, 2, 3])
    """

    def __init__(self, dataset: Any, collate: Callable, *, batch_size: int, seed: int) -> None:
        # No batch of one, which BatchNorm cannot normalise.
        self._sampler = MembershipBatchSampler(len(dataset), batch_size=batch_size, seed=seed)
        self._loader = DataLoader(dataset, batch_sampler=self._sampler, collate_fn=collate)
        self._passes = 0

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Any]:
        self._sampler.set_epoch(self._passes)
        self._passes += 1
        return iter(self._loader)


def score_weights(
    settings: CriticalWeightSettings,
    ranking: Ranking,
    model: torch.nn.Module,
    initial_state: Mapping[str, torch.Tensor],
    members: Iterable[Any],
    reference: Iterable[Any] | None,
    *,
    seed: int,
    show_progress: bool = False,
) -> tuple[Scores, dict[str, float | None] | None]:
    """The scores the weights are ranked by, and how far privacy vulnerability and learnability go together.

    Nothing changes: not the model, which is scored on copies, nor the random state, nor the hooks on the model.

    Parameters
    ----------
    settings : CriticalWeightSettings
    ranking : Ranking
        Of the model.
    model : torch.nn.Module
        As trained.
    initial_state : mapping of str to tensor
        Its trainable weights and buffers before training.
    members, reference : iterable of dict of tensor
        Batches with "labels" that can be gone through again; reference ones for the privacy vulnerability alone.
    seed : int
        Of dropout, augmentation and random scores.
    show_progress : bool

    Returns
    -------
    scores : dict of tensor
        Of the ranked weights or components, by name.
    entanglement : dict of float, or None
        Pearson correlation by kind of layer and over all ("all"), see `pearson_by_kind`; with the privacy
        vulnerability alone.
    """
    options: dict[str, Any] = {"parameters": ranking.names, "columns": ranking.by_component}
    options["show_progress"] = show_progress
    entanglement = None
    with _own_random_state(model, seed), without_hooks(model):
        if settings.score == "random":
            scores = ranking.random(model, seed=seed)
        elif settings.score == "magnitude":
            scores = ranking.magnitude(model)
        elif settings.score == "learnability":
            scores = taylor(model, members, **options)
        else:
            assert reference is not None
            scores = privacy_vulnerability(
                network_at(model, initial_state) if settings.pve_start == "initial" else model,
                members,
                reference,
                initial_state=initial_state,
                kl_weight=settings.pve_weight,
                temperature=settings.temperature,
                epochs=settings.pve_epochs,
                learning_rate=settings.pve_learning_rate,
                **options,
            )
            if settings.entanglement:
                entanglement = pearson_by_kind(scores, taylor(model, members, **options), model)
    return scores, entanglement


def count_by_kind(model: torch.nn.Module, selected: Mapping[str, torch.Tensor]) -> dict[str, dict[str, int]]:
    """How many weights or components are selected, of how many, for each kind of layer.

    Examples
    --------
    >>> count_by_kind(torch.nn.Linear(2, 1, bias=False), {"weight": torch.tensor([[True, False]])})
    {'linear': {'marked': 1, 'of': 2}}
    """
    counts: dict[str, dict[str, int]] = {}
    for name, kind in weight_kinds(model).items():
        if name in selected:
            count = counts.setdefault(kind, {"marked": 0, "of": 0})
            count["marked"] += int(selected[name].sum())
            count["of"] += selected[name].numel()
    return counts


@contextmanager
def without_hooks(model: torch.nn.Module) -> Iterator[None]:
    """The model without what hangs on it for training, such as DP-SGD's per-sample gradients; put back afterwards.

    Hooks before a forward pass stay: weight normalisation computes its weights in one.
    """
    kinds = ("_forward_hooks", "_backward_hooks")
    held = [(module, kind, getattr(module, kind)) for module in model.modules() for kind in kinds]
    try:
        for module, kind, _ in held:
            setattr(module, kind, OrderedDict())
        yield
    finally:
        for module, kind, hooks in held:
            setattr(module, kind, hooks)


@contextmanager
def _own_random_state(model: torch.nn.Module, seed: int) -> Iterator[None]:
    """Random numbers from a seed; the training goes on with those it would have had, resumed or not."""
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
