"""NPO on an adapter in however many processes there are; run as a script, each of two saves what it ends with.

Usage: two_processes_npo.py FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

import small_training
import torch
from tiny_language import language_model, token_rows

from hf_privacy.unlearning import NPOConfig, NPOTrainer


def npo_run(folder: Path, *, batch_size: int) -> dict[str, torch.Tensor]:
    """The weights after a step at this batch size a process."""
    rows = token_rows((9, 4, 12, 6, 7, 5, 11, 10, 8, 7) * 2)
    args = NPOConfig(
        str(folder),
        **{
            **small_training.QUIET,
            "ddp_backend": "gloo",
            "optim": "sgd",
            "learning_rate": 0.02,
            "max_steps": 1,
            "max_grad_norm": 0.0,
            "retain_loss": "kl",
            "check_evidence": False,
            "per_device_train_batch_size": batch_size,
        },
    )
    sets = {"forget_dataset": rows.subset(range(8)), "retain_dataset": rows.subset(range(8, 20))}
    trainer = NPOTrainer(language_model("llama", lora=True), args, **sets)
    trainer.unlearn()
    model = trainer.accelerator.unwrap_model(trainer.model)
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


if __name__ == "__main__":
    target = Path(sys.argv[1])
    weights = npo_run(target.with_suffix(""), batch_size=2)
    if torch.distributed.get_rank() == 0:
        torch.save(weights, target)
