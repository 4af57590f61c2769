"""A training that says and keeps nothing, and data that can only be learnt by heart."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits

from hf_privacy.data import TensorDataset

QUIET = {
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
    "lr_scheduler_type": "constant",
}

# The model section of a recipe: a network that sees 8 × 8 grey pixels.
RESNET = {
    "name_or_path": "resnet",
    "from_scratch": True,
    "kwargs": {"num_channels": 1, "embedding_size": 4, "hidden_sizes": [4], "depths": [1], "layer_type": "basic"},
}


def noisy_digits() -> TensorDataset:
    """500 real digits as 64 features, a fifth of the labels drawn at random."""
    pixels, digits = load_digits(return_X_y=True)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(digits), generator=generator)[:500].numpy()
    is_random = torch.rand(500, generator=generator) < 0.2
    labels = torch.where(is_random, torch.randint(10, (500,), generator=generator), torch.tensor(digits[rows]))
    return TensorDataset({"features": torch.tensor(pixels[rows] / 16, dtype=torch.float32), "labels": labels})
