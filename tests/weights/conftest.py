"""Small networks with data, in float64 where a closed form is compared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

N_CLASSES = 3


def make_net(*, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, N_CLASSES)).double()


def make_batches(*sizes: int, seed: int = 1) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "input": torch.randn(size, 4, generator=generator, dtype=torch.float64),
            "labels": torch.randint(0, N_CLASSES, (size,), generator=generator),
        }
        for size in sizes
    ]


@pytest.fixture
def net() -> nn.Sequential:
    return make_net()


@pytest.fixture
def net_of() -> Callable[..., nn.Sequential]:
    """Give a function that makes the same network from another seed: ``net_of(seed=9)``."""
    return make_net


@pytest.fixture
def batches_of() -> Callable[..., list[dict[str, torch.Tensor]]]:
    """Give a function that makes batches of these sizes: ``batches_of(3, 2)``."""
    return make_batches
