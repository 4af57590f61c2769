"""Shadow models as the membership-inference approximator of ReMI learns from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals import SignalStore
from hf_privacy.tasks import task_of
from hf_privacy.unlearning.remi.features import dataset_features
from hf_privacy.unlearning.remi.token_features import base_losses, dataset_token_features


@dataclass(frozen=True)
class ShadowFeatures:
    """Features of examples under models that were, or were not, trained on them.

    Parameters
    ----------
    features : float32 tensor [M, width]
        Parts in the order of ``names``.
    membership : bool array [M]
    names : tuple of str
    seconds : float
        What training the models took, where known; counted as "shadows".
    """

    features: torch.Tensor
    membership: np.ndarray
    names: tuple[str, ...]
    seconds: float = 0.0


def shadow_features_of_store(
    store: SignalStore,
    labels: np.ndarray,
    *,
    n_classes: int,
    features: Sequence[str],
    models: Sequence[int] | None = None,
    base_loss: np.ndarray | None = None,
) -> ShadowFeatures:
    """From a store of reference signals: what it holds of every example under every model.

    Parameters
    ----------
    store : SignalStore
        Of reference models of the target's recipe; examples of the population, which none was trained on, are left
        out.
    labels : int array [N], or [N, L] of a language model
        Class of each of the store's examples; of rows of tokens their number alone is read.
    n_classes : int
    features : sequence of str
        Signals of the store, and "label": it holds no posteriors and no activations. Of a language model any of
        `TOKEN_FEATURES`.
    models : sequence of int, optional
        By default all.
    base_loss : float array [N], optional
        Of each example under the base checkpoint, for "base_difference".
    """
    derived = {"label": n_classes > 0, "base_difference": base_loss is not None}
    missing = [name for name in features if not derived.get(name, name in store.signals)]
    if missing:
        raise InputError(
            f"features hold {missing[0]!r}, which a store of signals does not: pass shadow models instead"
        )
    chosen = list(range(store.n_models)) if models is None else list(models)
    if len(labels) != store.n_examples:
        raise InputError(
            f"labels has {len(labels)} rows and the store {store.n_examples:,} examples: pass all of them"
        )
    membership = store.membership(models=chosen)
    pool = membership.any(axis=0)

    def column(number: int, name: str) -> np.ndarray:
        if name == "label":
            return np.eye(n_classes, dtype=np.float32)[labels[pool]]
        values = store.read("loss" if name == "base_difference" else name, models=[number], query=0)[0]
        if name == "base_difference":
            values = values - base_loss
        return values[pool][:, None].astype(np.float32)

    rows = [np.concatenate([column(number, name) for name in features], axis=1) for number in chosen]
    seconds = sum(float(store.info(number).get("training_seconds", 0.0)) for number in chosen)
    return ShadowFeatures(
        torch.from_numpy(np.concatenate(rows)), membership[:, pool].reshape(-1), tuple(features), seconds
    )


def shadow_features_of_models(
    shadows: Iterable[tuple[torch.nn.Module, np.ndarray]], dataset: TensorDataset, *, features: Sequence[str]
) -> ShadowFeatures:
    """From shadow models themselves, each with the examples it was trained on.

    Parameters
    ----------
    shadows : iterable of (model, bool array [N])
    dataset : TensorDataset of N examples
    features : sequence of str
        All but activations, whose neurons are each model's own. Of language models any of `TOKEN_FEATURES`.
    """
    if "activations" in features:
        raise InputError("features hold 'activations': neurons of shadow models are not the target's; leave them out")
    rows, membership = [], []
    for model, inside in shadows:
        if len(inside) != len(dataset):
            raise InputError(f"a shadow model's membership has {len(inside)} rows and dataset {len(dataset):,}")
        if task_of(model).has_classes:
            rows.append(dataset_features(model, dataset, features=features))
        else:
            base = base_losses(model, dataset) if "base_difference" in features else None
            rows.append(dataset_token_features(model, dataset, features=features, base_loss=base))
        membership.append(np.asarray(inside, dtype=bool))
    if not rows:
        raise InputError("shadows is empty: pass one or more shadow models with their members")
    return ShadowFeatures(torch.cat(rows), np.concatenate(membership), tuple(features))
