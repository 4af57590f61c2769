"""Started by torchrun in test_extract.py: signals and features computed by two processes, written by each of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from hf_privacy.adversarial import PGD, AdversarialInputs, PixelSpace
from hf_privacy.data import TensorDataset
from hf_privacy.models import load_model
from hf_privacy.signals import Curvature, compute_features, compute_signals, label_only_correct

SETTINGS = {
    "queries": ("identity", "flip", "adversarial"),
    "adversarial": AdversarialInputs(PixelSpace((0.5,), (0.05,)), PGD(0.01, n_steps=2)),
    "curvature": Curvature(n_vectors=1),
}


def example(n_examples: int) -> tuple[torch.nn.Module, TensorDataset]:
    """An untrained ResNet and random images, the same in every process."""
    torch.set_num_threads(1)
    model = load_model(
        "resnet",
        task="image-classification",
        num_labels=4,
        from_scratch=True,
        model_kwargs={
            "num_channels": 1,
            "embedding_size": 8,
            "hidden_sizes": [8],
            "depths": [1],
            "layer_type": "basic",
        },
        seed=1,
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n_examples, 1, 8, 8, generator=generator)
    labels = torch.randint(4, (n_examples,), generator=generator)
    return model, TensorDataset({"pixel_values": images, "labels": labels})


def main() -> None:
    """Write each process's arrays to <folder>/<n_examples>_<rank>.npz."""
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    for n_examples in (1, 37):
        model, dataset = example(n_examples)
        model = accelerator.prepare(model)
        signals = compute_signals(model, dataset, batch_size=8, **SETTINGS, accelerator=accelerator)
        features = compute_features(model, dataset, batch_size=8, accelerator=accelerator)
        augmented = label_only_correct(model, dataset, batch_size=8, accelerator=accelerator)
        path = Path(sys.argv[1], f"{n_examples}_{accelerator.process_index}.npz")
        np.savez(path, **signals, features=features, augmented=augmented)


if __name__ == "__main__":
    main()
