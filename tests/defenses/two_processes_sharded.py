"""Run by torchrun: a full fine-tune under FSDP2 on two processes.

Usage: torchrun --nproc_per_node 2 two_processes_sharded.py FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType
from conftest import QUIET, tiny_data, tiny_model

from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer

folder = Path(sys.argv[1])
args = PrivacyConfig(**QUIET, output_dir=str(folder / "sharded"), **json.loads(sys.argv[2]))
assert args.device.type == "cpu"  # which sets the processes up
# Accelerate shards on devices alone, and is told that there are some.
PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
settings = {"VERSION": "2", "AUTO_WRAP_POLICY": "NO_WRAP", "STATE_DICT_TYPE": "FULL_STATE_DICT"}
os.environ |= {"ACCELERATE_USE_FSDP": "true"} | {f"FSDP_{key}": value for key, value in settings.items()}
trainer = PrivacyTrainer(tiny_model("bert"), args, train_dataset=tiny_data("bert", 16))
assert trainer.is_fsdp_enabled
trainer.train()
assert {type(weight).__name__ for weight in trainer.model.parameters()} == {"DTensor"}
trainer.save_model()
# FSDP2's mesh keeps gloo's threads for good; how processes end is held by the other scripts.
os._exit(0)
