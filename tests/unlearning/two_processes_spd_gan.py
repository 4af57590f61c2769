"""Started by torchrun in test_spd_gan.py: SPD-GAN stopped after two of three epochs, then resumed; and alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    """Write each process's generator to <folder>/rank<number>.safetensors, and what the first finds alone."""
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    folder = Path(sys.argv[1])
    for n_epochs in (2, 3):
        together = trained(n_epochs, accelerator=accelerator, output_dir=folder / "run")
    write(together, folder / f"rank{accelerator.process_index}.safetensors")
    if accelerator.is_main_process:
        write(trained(3), folder / "alone.safetensors")
    accelerator.wait_for_everyone()


def trained(n_epochs: int, **arguments: Any) -> torch.nn.Module:
    """17 images in batches of 8: the last batch has one."""
    model = load_model(
        "resnet", task="image-classification", num_labels=4, from_scratch=True, model_kwargs=SIZES, seed=1
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 1, 8, 8, generator=generator)
    dataset = TensorDataset({"pixel_values": images, "labels": torch.randint(4, (40,), generator=generator)})
    sets = dataset.subset(range(17)), dataset.subset(range(17, 40))
    config = replace(CONFIG, num_train_epochs=n_epochs)
    return train_spd_gan(*sets, retain_classifier=model, space=PixelSpace((0.0,), (1.0,)), config=config, **arguments)


def write(network: torch.nn.Module, path: Path) -> None:
    """Its weights, as safetensors."""
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, path)


if __name__ == "__main__":
    main()
