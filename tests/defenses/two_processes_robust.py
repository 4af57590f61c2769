"""Run by torchrun: evaluate with an attack on two processes, and write what each attacked and what both found.

Usage: torchrun --nproc_per_node 2 two_processes_robust.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from conftest import QUIET, tiny_data, tiny_model

from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer

folder = Path(sys.argv[1])
args = PrivacyConfig(
    **QUIET,
    output_dir=str(folder / "run"),
    ddp_backend="gloo",
    max_steps=2,
    per_device_eval_batch_size=4,
    eval_attack={"epsilon": 0.3, "n_steps": 5},
)
assert args.world_size == 2
data = tiny_data("tabular", 17)
trainer = PrivacyTrainer(tiny_model("tabular"), args, train_dataset=tiny_data("tabular", 17), eval_dataset=data)
trainer.train()
data.drawn.clear()
metrics = trainer._robust_metrics(data)
rows = list(data.drawn)
logged = trainer.evaluate()
found = {"rows": rows, "direct": metrics, "logged": {key: logged[f"eval_{key}"] for key in metrics}}
(folder / f"rank{args.process_index}.json").write_text(json.dumps(found))
trainer.save_model(str(folder / "model"))
