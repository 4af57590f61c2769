"""Run by torchrun: adversarial training on two processes; write the weights and the logs they end with.

Usage: torchrun --nproc_per_node 2 two_processes_adversarial.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from conftest import QUIET, tiny_data, tiny_model
from transformers import ViTImageProcessor

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import AdversarialConfig, AdversarialTrainer, DeMemConfig, DeMemTrainer

folder = Path(sys.argv[1])
SHARED = {**QUIET, "ddp_backend": "gloo", "optim": "sgd", "momentum": 0.0, "learning_rate": 0.5, "epsilon": 0.05}
# One global batch a step, and nothing random.
EXACT = {"objective": "mart", "awp_gamma": 0.1, "random_start": False, "num_train_epochs": 3}
# Two forward passes before a backward pass, over buffers and over weights that one of them does not use.
SETTINGS = {"objective": "trades", "awp_gamma": 0.01, "max_steps": 3, "per_device_train_batch_size": 4}


def images():
    data = tiny_data("resnet", 18)
    pixels = data.column("pixel_values").sigmoid()
    return TensorDataset({"pixel_values": (pixels - 0.5) / 0.5, "labels": data.column("labels")})


if __name__ == "__main__":
    args = AdversarialConfig(**SHARED, **EXACT, output_dir=str(folder / "exact"), per_device_train_batch_size=8)
    assert args.world_size == 2
    trainer = AdversarialTrainer(tiny_model("tabular"), args, train_dataset=tiny_data("tabular", 15))
    trainer.train()
    trainer.save_model()

    found = {}
    processor = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.5], image_std=[0.5])
    for name, data, processing_class in (("resnet", images(), processor), ("bert", tiny_data("bert", 18), None)):
        args = DeMemConfig(
            **{**SHARED, "logging_strategy": "steps", "logging_steps": 3},
            **SETTINGS,
            gradient_accumulation_steps=2 if name == "resnet" else 1,
            output_dir=str(folder / name),
        )
        trainer = DeMemTrainer(tiny_model(name), args, train_dataset=data, processing_class=processing_class)
        trainer.train()
        weights = torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])
        logged = [entry["loss_variance"] for entry in trainer.state.log_history if "loss_variance" in entry]
        found[name] = {"weights": weights.tolist(), "loss_variance": logged, "finite": bool(weights.isfinite().all())}
    (folder / f"rank{args.process_index}.json").write_text(json.dumps(found))
