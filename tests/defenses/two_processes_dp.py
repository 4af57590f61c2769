"""Run by torchrun: DP-SGD on two processes, without noise and with it; write what they end with.

Usage: torchrun --nproc_per_node 2 two_processes_dp.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from conftest import QUIET, tiny_data, tiny_model
from tiny_language import grouped_rows, language_model

from hf_privacy.defenses import DPConfig, DPTrainer

folder = Path(sys.argv[1])
SHARED = {**QUIET, "ddp_backend": "gloo", "optim": "sgd", "momentum": 0.0, "learning_rate": 0.1, "accountant": "rdp"}

if __name__ == "__main__":
    # Half of the 16 examples on each process: every example in every step, and no noise.
    settings = {"per_device_train_batch_size": 8, "noise_multiplier": 0.0, "max_grad_norm": 0.3, "max_steps": 3}
    args = DPConfig(**SHARED, output_dir=str(folder / "exact"), **settings)
    assert args.world_size == 2
    trainer = DPTrainer(tiny_model("tabular"), args, train_dataset=tiny_data("tabular", 16))
    trainer.train()
    trainer.save_model()

    # The adapter of a language model by group: three groups on each process, and every one in every step.
    settings |= {"per_device_train_batch_size": 3, "privacy_unit": "group"}
    args = DPConfig(**SHARED, output_dir=str(folder / "groups"), **settings)
    trainer = DPTrainer(language_model("llama", lora=True, spread=0.05), args, train_dataset=grouped_rows())
    trainer.train()
    trainer.save_model()

    settings = {"per_device_train_batch_size": 4, "noise_multiplier": 1.0, "num_train_epochs": 3}
    data = tiny_data("tabular", 40)
    args = DPConfig(**SHARED, output_dir=str(folder / "noisy"), **settings)
    trainer = DPTrainer(tiny_model("tabular"), args, train_dataset=data)
    trainer.train()
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
    found = {"weights": weights.tolist(), "drawn": data.drawn, "steps": trainer.ledger.n_steps}
    found["epsilon"] = trainer.privacy_spent()["epsilon"]
    (folder / f"noisy-rank{args.process_index}.json").write_text(json.dumps(found))
