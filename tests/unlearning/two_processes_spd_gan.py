"""Started in test_spd_gan.py, by torchrun and alone: SPD-GAN stopped after two of three epochs, then resumed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import save_file

from hf_privacy.adversarial import PixelSpace
from hf_privacy.data import TensorDataset
from hf_privacy.models import load_model
from hf_privacy.unlearning import SPDGANConfig, train_spd_gan

CONFIG = SPDGANConfig(num_train_epochs=3, batch_size=8, width=4, n_blocks=1, save_every_n_epochs=1)
SIZES = {"num_channels": 1, "embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"}


def main() -> None:
    """Write each process's generator to <folder>/rank<number>.safetensors, a lone one's to <folder>/alone."""
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    n_processes = accelerator.num_processes
    name = f"rank{accelerator.process_index}" if n_processes > 1 else "alone"
    folder = Path(sys.argv[1])
    model = load_model(
        "resnet", task="image-classification", num_labels=4, from_scratch=True, model_kwargs=SIZES, seed=1
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 1, 8, 8, generator=generator)
    dataset = TensorDataset({"pixel_values": images, "labels": torch.randint(4, (40,), generator=generator)})
    for n_epochs in (2, 3):
        trained = train_spd_gan(
            dataset.subset(range(17)),
            dataset.subset(range(17, 40)),
            retain_classifier=model,
            space=PixelSpace((0.0,), (1.0,)),
            config=replace(CONFIG, num_train_epochs=n_epochs),
            accelerator=accelerator,
            output_dir=folder / f"run{n_processes}",
        )
    save_file(
        {key: tensor.contiguous() for key, tensor in trained.state_dict().items()}, folder / f"{name}.safetensors"
    )
    accelerator.end_training()


if __name__ == "__main__":
    main()
