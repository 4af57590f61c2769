"""Run by torchrun: keep training dynamics on two processes, then meet a store of another dataset.

Usage: torchrun --nproc_per_node 2 two_processes_dynamics.py FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from conftest import QUIET, tiny_data
from safetensors.torch import save_file
from transformers import TrainerCallback

from hf_privacy.defenses import CurvatureCallback, PrivacyConfig, PrivacyTrainer, TrainingDynamicsCallback
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.signals import Curvature

folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3)


def trainer_of(*callbacks: TrainerCallback) -> PrivacyTrainer:
    args = PrivacyConfig(
        **{**QUIET, "output_dir": str(folder / "run"), "ddp_backend": "gloo"},
        num_train_epochs=2,
        per_device_train_batch_size=3,
        learning_rate=0.05,
    )
    return PrivacyTrainer(
        model_init=lambda: TabularMLPForClassification(config),
        args=args,
        train_dataset=tiny_data("tabular", 17),
        callbacks=list(callbacks),
    )


watched = tiny_data("tabular", 13)
bent = tiny_data("tabular", 13)
trainer = trainer_of(
    TrainingDynamicsCallback(watched, batch_size=4),
    CurvatureCallback(bent, curvature=Curvature(n_vectors=2), batch_size=4),
)
assert trainer.args.world_size == 2
trainer.train()
looks = watched.drawn[-2:]  # four batches an epoch, two for each process
(folder / f"looked-at-{rank}.json").write_text(json.dumps(looks))
if rank == 0:
    save_file(trainer.model.state_dict(), folder / "end.safetensors")
unwatched = trainer_of()
unwatched.args.output_dir = str(folder / "unwatched")
unwatched.train()
if rank == 0:
    save_file(unwatched.model.state_dict(), folder / "unwatched.safetensors")

try:
    trainer_of(TrainingDynamicsCallback(tiny_data("tabular", 14))).train()
except InputError as error:
    (folder / f"refused-{rank}.txt").write_text(str(error))
