"""Run by torchrun: train each defence of language models on two processes and write the weights it ends with.

Usage: torchrun --nproc_per_node 2 two_processes_language.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from defended_language import ALL, trainer_of, weights_of
from safetensors.torch import save_file

from hf_privacy.models import scored_tokens

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    scored_tokens._CHUNK_ELEMENTS = 61 * 5  # several chunks a batch
    for name in ALL:
        trainer = trainer_of(name, folder / name, batch_size=8, ddp_backend="gloo")
        assert trainer.args.world_size == 2
        trainer.train()
        save_file(weights_of(trainer), folder / f"{name}-rank{trainer.args.process_index}.safetensors")
