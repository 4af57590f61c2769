"""A tabular classifier that memorizes random labels: leakage that every attack must see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from scipy.special import expit, log_expit

from hf_privacy.auditing.table import SignalTable
from hf_privacy.data import MembershipSplit, TensorDataset, encode_features, make_split
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.models import load_model
from hf_privacy.references import plan_references

N_CLASSES = 3
MLP = {"input_size": 6, "hidden_sizes": [64]}


def mlp(seed: int | None = None) -> torch.nn.Module:
    return load_model(
        "hf_privacy_tabular_mlp",
        task="tabular-classification",
        num_labels=N_CLASSES,
        from_scratch=True,
        model_kwargs=MLP,
        seed=seed,
    )


@pytest.fixture(scope="session")
def rows() -> datasets.Dataset:
    """140 rows of noise with labels drawn at random."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(140, 6)).astype("float32").tolist()
    return datasets.Dataset.from_dict({"features": features, "label": rng.integers(N_CLASSES, size=140).tolist()})


@pytest.fixture(scope="session")
def dataset(rows) -> TensorDataset:
    return encode_features(rows)


@pytest.fixture(scope="session")
def split(rows) -> MembershipSplit:
    """60 members, 60 non-members and a population of 20."""
    return make_split(rows, population_fraction=1 / 7)


@pytest.fixture(scope="session")
def make_trainer(dataset, split, tmp_path_factory) -> Callable[..., PrivacyTrainer]:
    def make(*, train_dataset: TensorDataset | None = None, **arguments: Any) -> PrivacyTrainer:
        settings = {
            "output_dir": str(tmp_path_factory.mktemp("target")),
            "num_train_epochs": 50,
            "per_device_train_batch_size": 20,
            "learning_rate": 0.02,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
        }
        return PrivacyTrainer(
            args=PrivacyConfig(**{**settings, **arguments}),
            model_init=mlp,
            train_dataset=dataset.subset(split.members) if train_dataset is None else train_dataset,
        )

    return make


@pytest.fixture(scope="session")
def trained(make_trainer) -> PrivacyTrainer:
    """Trained on the members until it knows them by heart."""
    trainer = make_trainer()
    trainer.train()
    return trainer


@pytest.fixture(scope="session")
def saved(trained) -> str:
    """The folder the trained model is saved in."""
    trained.save_model(_internal_call=True)
    return trained.args.output_dir


POOL, POPULATION = 600, 200


def _planted_table(
    *, n_references: int = 8, effect: float = 2.0, n_queries: int = 1, with_population: bool = True, seed: int = 0
) -> SignalTable:
    """A two-class target and its references: φ is normal, and training on an example raises it.

    ``effect`` is that rise in standard deviations of the noise.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(POOL + (POPULATION if with_population else 0)) % 2
    n_columns = len(labels)
    plan = plan_references(labels[:POOL], n_models=n_references + 2, seed=seed)
    membership = np.zeros((n_references + 2, n_columns), dtype=bool)
    membership[:, :POOL] = plan.membership
    easiness = rng.normal(1.0, 1.5, n_columns)
    phi = easiness + effect * membership[:, None] + rng.normal(size=(n_references + 2, n_queries, n_columns))
    # The first of a pair that the references know nothing of is the target.
    signals = {name: values.swapaxes(0, 1) for name, values in _signals(phi).items()}
    return SignalTable(
        target={name: values[:, 0] for name, values in signals.items()},
        membership=membership[0, :POOL],
        labels=labels,
        references={name: values[:, 2:] for name, values in signals.items()},
        reference_membership=membership[2:],
    )


@pytest.fixture(scope="session")
def planted_table() -> Callable[..., SignalTable]:
    """Tables of signals whose leakage is known."""
    return _planted_table


def _signals(phi: np.ndarray) -> dict[str, np.ndarray]:
    p = expit(phi)
    q = 1 - p
    entropy = -(p * log_expit(phi) + q * log_expit(-phi))
    return {
        "phi": phi,
        "loss": -log_expit(phi),
        "probability": p,
        "margin": phi,
        "entropy": entropy,
        "modified_entropy": -2 * q * log_expit(phi),
        "correct": (phi > 0).astype(float),
    }
