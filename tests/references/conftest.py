"""A tabular classifier on random labels: trained in a fraction of a second, and it memorizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.models import load_model

N_POOL, N_POPULATION, N_CLASSES = 60, 20, 3


@pytest.fixture
def dataset() -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N_POOL + N_POPULATION, 6, generator=generator)
    labels = torch.randint(N_CLASSES, (N_POOL + N_POPULATION,), generator=generator)
    return TensorDataset({"features": features, "labels": labels})


@pytest.fixture
def split() -> MembershipSplit:
    return MembershipSplit(
        range(N_POOL // 2),
        range(N_POOL // 2, N_POOL),
        range(N_POOL, N_POOL + N_POPULATION),
        n_examples=N_POOL + N_POPULATION,
        dataset_fingerprint="a fingerprint",
    )


@pytest.fixture
def make_trainer(dataset, split, tmp_path) -> Callable[..., PrivacyTrainer]:
    """``make_trainer(learning_rate=0.1, model_kwargs={...}, trainer_class=..., train_dataset=...)``."""

    def make(
        *,
        model_kwargs: dict[str, Any] | None = None,
        trainer_class: type[PrivacyTrainer] = PrivacyTrainer,
        train_dataset: Any = None,
        model_init: Callable | None = None,
        callbacks: list | None = None,
        processing_class: Any = None,
        **arguments: Any,
    ) -> PrivacyTrainer:
        kwargs = {"input_size": 6, "hidden_sizes": [8], **(model_kwargs or {})}

        def tabular_mlp():
            return load_model(
                "hf_privacy_tabular_mlp",
                task="tabular-classification",
                num_labels=N_CLASSES,
                from_scratch=True,
                model_kwargs=kwargs,
            )

        settings = {
            "output_dir": str(tmp_path / "target"),
            "num_train_epochs": 2,
            "per_device_train_batch_size": 10,
            "learning_rate": 0.05,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
        }
        return trainer_class(
            args=PrivacyConfig(**{**settings, **arguments}),
            model_init=model_init or tabular_mlp,
            train_dataset=dataset.subset(split.members) if train_dataset is None else train_dataset,
            callbacks=callbacks,
            processing_class=processing_class,
        )

    return make
