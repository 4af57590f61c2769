"""Run by torchrun: train RelaxLoss and early stopping on two processes and write the weights they end with.

Usage: torchrun --nproc_per_node 2 two_process_defenses.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from conftest import QUIET, tiny_data, tiny_model

from hf_privacy.defenses import EarlyStoppingConfig, EarlyStoppingTrainer, RelaxLossConfig, RelaxLossTrainer

folder = Path(sys.argv[1])
# One global batch an epoch; the two processes' means lie on different sides of the target.
RELAX = {"alpha": 1.12, "num_train_epochs": 4, "per_device_train_batch_size": 8, "optim": "sgd", "learning_rate": 0.1}
STOP = {"patience": 1, "num_train_epochs": 40, "per_device_train_batch_size": 4, "learning_rate": 0.05}


class RecordingTrainer(RelaxLossTrainer):
    def training_loss(self, model, inputs):
        loss, outputs = super().training_loss(model, inputs)
        mean = torch.nn.functional.cross_entropy(outputs["logits"].detach(), inputs["labels"])
        self.seen = [*getattr(self, "seen", []), float(mean)]
        return loss, outputs


if __name__ == "__main__":
    shared = {**QUIET, "ddp_backend": "gloo"}
    args = RelaxLossConfig(**shared, output_dir=str(folder / "relax"), **RELAX)
    assert args.world_size == 2
    trainer = RecordingTrainer(tiny_model("tabular"), args, train_dataset=tiny_data("tabular", 16))
    trainer.train()
    trainer.save_model()
    (folder / f"relax-rank{args.process_index}.json").write_text(json.dumps(trainer.seen))

    args = EarlyStoppingConfig(**shared, output_dir=str(folder / "stop"), **STOP)
    trainer = EarlyStoppingTrainer(
        tiny_model("tabular"),
        args,
        train_dataset=tiny_data("tabular", 16),
        validation_dataset=tiny_data("tabular", 9, seed=5),
    )
    trainer.train()
    (folder / f"stop-rank{args.process_index}.json").write_text(json.dumps(trainer.state.log_history))
