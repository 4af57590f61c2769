"""Run by torchrun: train RelaxLoss, early stopping and language models on two processes and write what they end with.

Usage: torchrun --nproc_per_node 2 two_process_defenses.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from conftest import QUIET, tiny_data, tiny_model
from safetensors.torch import save_file
from tiny_language import language_model, token_rows

from hf_privacy.defenses import (
    EarlyStoppingConfig,
    EarlyStoppingTrainer,
    PrivacyConfig,
    PrivacyTrainer,
    RelaxLossConfig,
    RelaxLossTrainer,
)
from hf_privacy.models import scored_tokens

folder = Path(sys.argv[1])
# One global batch an epoch; the two processes' means lie on different sides of the target.
RELAX = {"alpha": 1.12, "num_train_epochs": 4, "per_device_train_batch_size": 8, "optim": "sgd", "learning_rate": 0.1}
STOP = {"patience": 1, "num_train_epochs": 40, "per_device_train_batch_size": 4, "learning_rate": 0.05}
# The eight rows of an epoch at once, of unequal numbers of tokens on the two processes.
LANGUAGE = {
    "num_train_epochs": 2,
    "per_device_train_batch_size": 4,
    "per_device_eval_batch_size": 2,
    "optim": "sgd",
    "learning_rate": 0.1,
}


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

    scored_tokens._CHUNK_ELEMENTS = 61 * 5  # several chunks a batch
    for lora in (False, True):
        name = "lora" if lora else "full"
        args = PrivacyConfig(**shared, output_dir=str(folder / name), **LANGUAGE)
        model = language_model("llama", lora=lora, spread=0.05)
        trainer = PrivacyTrainer(
            model, args, train_dataset=token_rows(), eval_dataset=token_rows(seed=1).subset(range(5))
        )
        trainer.train()
        (folder / f"{name}-rank{args.process_index}.json").write_text(json.dumps(trainer.evaluate()))
        if trainer.is_world_process_zero():
            weights = {
                key: weight.detach().clone() for key, weight in model.named_parameters() if weight.requires_grad
            }
            save_file(weights, folder / f"{name}.safetensors")
