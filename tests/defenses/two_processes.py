"""Run by torchrun: train on two processes, and write what each drew and the weights they ended with.

Usage: torchrun --nproc_per_node 2 two_processes.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from conftest import QUIET, tiny_data, tiny_model

from hf_privacy.data import random_flip
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer

folder = Path(sys.argv[1])


def run(name: str, n: int, *, model: str = "tabular", augmented: bool = False, **arguments) -> None:
    # Neither use_cpu nor a backend is named: where there are no GPUs, launched processes find each other all the same.
    quiet = {key: value for key, value in QUIET.items() if key != "use_cpu" or torch.cuda.is_available()}
    args = PrivacyConfig(**quiet, output_dir=str(folder / name), **arguments)
    assert args.world_size == 2
    data = tiny_data(model, n)
    seen = []
    if augmented:
        ones = torch.arange(8.0).expand(n, 1, 8, 8).clone()
        data._tensors["pixel_values"] = ones  # rows rise from left to right, unless mirrored
        data = data.with_augmentation(lambda pixels: seen.append(random_flip(pixels)) or seen[-1])
    trainer = PrivacyTrainer(tiny_model(model), args, train_dataset=data, eval_dataset=data)
    trainer.train()
    rank = args.process_index
    mirrored = [[bool(row[0, 0, 0] > 0) for row in batch] for batch in seen]
    evaluated = trainer.evaluate()["eval_loss"] if not augmented else None
    found = {"drawn": data.drawn, "mirrored": mirrored, "eval_loss": evaluated}
    (folder / f"{name}-rank{rank}.json").write_text(json.dumps(found))
    trainer.save_model()


sgd = {"num_train_epochs": 2, "per_device_train_batch_size": 3, "optim": "sgd", "learning_rate": 0.1}
run("plain", 17, **sgd)
run("accumulated", 17, gradient_accumulation_steps=2, **sgd)
run("joined", 9, num_train_epochs=2, per_device_train_batch_size=2)
run("augmented", 64, model="vit", augmented=True, num_train_epochs=1, per_device_train_batch_size=32)
