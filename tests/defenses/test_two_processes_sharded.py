"""An undefended full fine-tune under FSDP2, of which each of two processes holds a part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchrun import on_two_processes

from hf_privacy.defenses import PrivacyTrainer


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="sharding is checked on CPUs")
def test_sharded_weights_end_as_those_of_one_process_with_twice_the_batch(tmp_path, make_args, model_of, data_of):
    # An ε that no gradient here is far below: a step in proportion to the gradient carries no rounding to its sign.
    shared = {"max_steps": 4, "learning_rate": 0.01, "adam_epsilon": 0.01}
    arguments = json.dumps({**shared, "per_device_train_batch_size": 4})
    on_two_processes(Path(__file__).with_name("two_processes_sharded.py"), tmp_path, arguments)
    start = model_of("bert").state_dict()
    args = make_args(per_device_train_batch_size=8, **shared)
    trainer = PrivacyTrainer(model_of("bert"), args, train_dataset=data_of("bert", 16))
    trainer.train()
    together, alone = load_file(tmp_path / "sharded" / "model.safetensors"), trainer.model.state_dict()
    assert sum(not torch.equal(alone[key], start[key]) for key in together) > len(together) / 2
    for key, weight in together.items():
        torch.testing.assert_close(weight, alone[key], rtol=1e-4, atol=1e-5)
