"""Run by torchrun: rewind critical weights on two processes, then with scores that differ between them.

Usage: torchrun --nproc_per_node 2 two_processes_rewind.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from conftest import QUIET, tiny_data
from safetensors.torch import save_file

from hf_privacy.defenses import CriticalWeightRewindCallback, RelaxLossConfig, RelaxLossTrainer
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification

folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3, activation="tanh", dropout=0.4)

SETTINGS = {
    "same": {"reference_dataset": tiny_data("tabular", 6, seed=5)},
    "different": {"score": "random", "seed": rank},
}
for name, settings in SETTINGS.items():
    args = RelaxLossConfig(
        **{**QUIET, "output_dir": str(folder / name), "ddp_backend": "gloo", "save_strategy": "epoch"},
        alpha=0.3,
        num_train_epochs=2,
        per_device_train_batch_size=3,
        gradient_accumulation_steps=2,
        learning_rate=0.05,
        weight_decay=0.1,
    )
    trainer = RelaxLossTrainer(
        model_init=lambda: TabularMLPForClassification(config),
        args=args,
        train_dataset=tiny_data("tabular", 17),
        callbacks=[CriticalWeightRewindCallback(fraction=0.2, **settings)],
    )
    assert trainer.args.world_size == 2
    save_file(trainer.model.state_dict(), folder / f"start-{name}-{rank}.safetensors")
    trainer.train()
    save_file(trainer.model.state_dict(), folder / f"end-{name}-{rank}.safetensors")
