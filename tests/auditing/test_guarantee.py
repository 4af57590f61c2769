"""The ε of a saved model is what its own ledger says, not what a trainer of its recipe would plan."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_privacy import audit
from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.defenses import DPConfig, DPTrainer
from hf_privacy.defenses.dp.accounting import LEDGER_FILE, epsilon_of
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification

pytest.importorskip("opacus")


@pytest.fixture
def dataset():
    generator = torch.Generator().manual_seed(0)
    return TensorDataset({"features": torch.randn(60, 4, generator=generator), "labels": torch.arange(60) % 2})


@pytest.fixture
def split():
    return MembershipSplit(range(40), range(40, 60), [], n_examples=60, dataset_fingerprint="0" * 64)


@pytest.fixture
def make_trainer(dataset):
    def make(folder):
        args = DPConfig(
            str(folder), use_cpu=True, report_to="none", save_strategy="steps", save_steps=5, logging_strategy="no",
            disable_tqdm=True, optim="sgd", noise_multiplier=1.0, accountant="rdp", max_steps=10,
            per_device_train_batch_size=8,
        )  # fmt: skip
        model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[4], num_labels=2))
        return DPTrainer(model, args, train_dataset=dataset.subset(range(40)))

    return make


def test_a_saved_models_epsilon_counts_the_steps_that_were_taken(dataset, split, make_trainer, tmp_path):
    make_trainer(tmp_path / "run").train()
    back = make_trainer(tmp_path / "run")
    back.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-5"))
    back.save_model()
    planner = make_trainer(tmp_path / "other")  # as a command builds it: of the recipe, never trained
    report = audit(
        tmp_path / "run", dataset, split, output_dir=tmp_path / "run", trainer=planner, depth="quick",
        show_progress=False,
    )  # fmt: skip
    expected = epsilon_of("rdp", noise_multiplier=1.0, sample_rate=0.2, n_steps=15, delta=0.1 / 40)
    assert report.epsilon["upper"]["epsilon"] == pytest.approx(expected)
    assert expected > planner.privacy_spent()["epsilon"]


def test_an_epsilon_of_a_row_says_that_it_bounds_no_group(dataset, make_trainer, tmp_path):
    trainer = make_trainer(tmp_path / "run")
    trainer.train()
    by_owner = MembershipSplit(
        range(40), range(40, 60), [], n_examples=60, dataset_fingerprint="0" * 64, groups=np.arange(60) // 2,
        unit="owner",
    )  # fmt: skip
    report = audit(trainer, dataset, by_owner, output_dir=tmp_path / "audit", depth="quick", show_progress=False)
    assert any("ε is of one row" in caveat and "'owner'" in caveat for caveat in report.caveats)


def test_a_saved_model_without_its_ledger_gets_no_epsilon(dataset, split, make_trainer, tmp_path):
    trainer = make_trainer(tmp_path / "run")
    trainer.train()
    trainer.save_model()
    (tmp_path / "run" / LEDGER_FILE).unlink()
    with pytest.raises(InputError, match="ε would be under-reported"):
        audit(tmp_path / "run", dataset, split, output_dir=tmp_path / "run", trainer=trainer, depth="quick")
