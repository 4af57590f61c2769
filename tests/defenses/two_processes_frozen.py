"""Run by torchrun: train with frozen weights on two processes, then with masks that differ, which is refused.

Usage: torchrun --nproc_per_node 2 two_processes_frozen.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from conftest import QUIET, tiny_data, tiny_model
from safetensors.torch import save_file

from hf_privacy.defenses import FrozenWeightsCallback, PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.weights import save_mask

folder = Path(sys.argv[1])


def trainer_with(name: str, seed: int) -> PrivacyTrainer:
    model = tiny_model("tabular")
    generator = torch.Generator().manual_seed(seed)
    mask = {key: torch.rand(weight.shape, generator=generator) < 0.4 for key, weight in model.named_parameters()}
    args = PrivacyConfig(
        **{**QUIET, "output_dir": str(folder / name), "ddp_backend": "gloo"},
        num_train_epochs=2,
        per_device_train_batch_size=3,
        gradient_accumulation_steps=2,
        learning_rate=0.05,
        weight_decay=0.1,
    )
    return PrivacyTrainer(model, args, train_dataset=tiny_data("tabular", 17), callbacks=[FrozenWeightsCallback(mask)])


trainer = trainer_with("same", seed=1)
rank = trainer.args.process_index
assert trainer.args.world_size == 2
if rank == 0:
    save_file(trainer.model.state_dict(), folder / "start.safetensors")
    save_mask(trainer.initial_callbacks[0].mask, folder / "mask.safetensors")
trainer.train()
save_file(trainer.model.state_dict(), folder / f"end-{rank}.safetensors")
try:
    trainer_with("different", seed=rank).train()
except InputError as error:
    (folder / f"refused-{rank}.txt").write_text(str(error))
