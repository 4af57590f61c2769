"""Run by torchrun: rewind an adapter's components on two processes, each of which draws other ones.

Usage: torchrun --nproc_per_node 2 two_processes_language_rewind.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from small_training import QUIET
from tiny_language import language_model, token_rows

from hf_privacy.defenses import CriticalWeightRewindCallback, PrivacyConfig, PrivacyTrainer

folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
base = language_model("llama")
torch.manual_seed(0)
model = get_peft_model(base, LoraConfig(r=3, target_modules="all-linear", task_type="CAUSAL_LM"))
args = PrivacyConfig(
    str(folder / "run"),
    **QUIET,
    ddp_backend="gloo",
    num_train_epochs=2,
    per_device_train_batch_size=2,
    gradient_accumulation_steps=2,
    learning_rate=0.02,
    weight_decay=0.1,
)
trainer = PrivacyTrainer(
    model,
    args,
    train_dataset=token_rows(),
    callbacks=[CriticalWeightRewindCallback(fraction=0.2, score="random", seed=rank)],
)
assert trainer.args.world_size == 2
save_file(dict(trainer.model.named_parameters()), folder / f"start-{rank}.safetensors")
trainer.train()
save_file(dict(trainer.model.named_parameters()), folder / f"end-{rank}.safetensors")
