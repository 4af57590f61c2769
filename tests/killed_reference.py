"""References of a tiny recipe; as a script, trained until a real SIGKILL in the middle of one of them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from transformers import TrainerCallback

from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.references import ReferenceRun, reference_run

N_ROWS = 60
# Three steps an epoch, four epochs: the second reference dies at its ninth step, the third of its third epoch.
KILLED_AT = (1, 8)


class CountSteps(TrainerCallback):
    """Counts the steps of all trainings of a process, and kills it at one of them where it is told to."""

    begun = steps = 0
    killed_at: tuple[int, int] | None = None

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        """Count the trainings."""
        CountSteps.begun += 1

    def on_step_end(self, args, state, control, **kwargs) -> None:
        """Count, or end."""
        CountSteps.steps += 1
        if CountSteps.killed_at == (CountSteps.begun - 1, state.global_step):
            os.kill(os.getpid(), signal.SIGKILL)


def small_mlp() -> TabularMLPForClassification:
    """A network with dropout, whose masks a resumed run has to draw as it would have."""
    return TabularMLPForClassification(TabularMLPConfig(input_size=6, hidden_sizes=[8], num_labels=3, dropout=0.2))


def make_run(folder: Path, *, n_models: int = 3) -> ReferenceRun:
    """The run over the store in `folder`."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N_ROWS, 6, generator=generator)
    data = TensorDataset({"features": features, "labels": torch.randint(3, (N_ROWS,), generator=generator)})
    split = MembershipSplit(
        range(25), range(25, 50), range(50, 60), n_examples=N_ROWS, dataset_fingerprint="a fingerprint"
    )
    trainer = PrivacyTrainer(
        args=PrivacyConfig(
            output_dir=str(folder / "target"),
            num_train_epochs=4,
            per_device_train_batch_size=10,
            learning_rate=0.05,
            save_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
        ),
        model_init=small_mlp,
        train_dataset=data.subset(split.members),
        callbacks=[CountSteps()],
    )
    return reference_run(trainer, data, split, folder / "store", n_models=n_models)


if __name__ == "__main__":
    CountSteps.killed_at = KILLED_AT
    make_run(Path(sys.argv[1])).train()
