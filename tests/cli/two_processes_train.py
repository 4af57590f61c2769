"""Run by torchrun: `hf-privacy train` on two processes, and whether it left their process group.

Usage: torchrun --nproc_per_node 2 two_processes_train.py RECIPE
"""

from __future__ import annotations

import sys

import torch

from hf_privacy.cli import main

assert main(["train", "--config", sys.argv[1]]) == 0
assert not torch.distributed.is_initialized()
