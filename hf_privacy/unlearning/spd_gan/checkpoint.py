"""What a killed training of SPD-GAN goes on from: one safetensors file, whole or absent."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hf_privacy.adversarial import PixelSpace
from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import TensorDataset, tensors_digest
from hf_privacy.errors import InputError
from hf_privacy.models.modes import bare_model
from hf_privacy.unlearning.spd_gan.config import SPDGANConfig
from hf_privacy.unlearning.spd_gan.networks import Discriminator, SPDGenerator

CHECKPOINT = "spd_gan.safetensors"
_FORMAT = "hf_privacy SPD-GAN checkpoint 2"
# Settings that a resumed run may change: they decide when it stops, not where it goes.
_FREE_SETTINGS = ("num_train_epochs", "save_every_n_epochs")


@dataclass
class GANState:
    """Both networks, their optimizers, and how many epochs they have had."""

    generator: SPDGenerator
    discriminator: Discriminator
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    epoch: int = 0

    def networks(self) -> dict[str, torch.nn.Module]:
        """By name."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def optimizers(self) -> dict[str, torch.optim.Adam]:
        """By the name of the network each one moves."""
        return {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}


def run_facts(
    forget: TensorDataset,
    retain: TensorDataset,
    classifier: torch.nn.Module,
    space: PixelSpace,
    config: SPDGANConfig,
    c: float,
) -> dict[str, Any]:
    """What makes a run this run; images and weights by their digests."""
    settings = {name: value for name, value in asdict(config).items() if name not in _FREE_SETTINGS}
    weights = {name: tensor.detach().cpu() for name, tensor in bare_model(classifier).state_dict().items()}
    return {
        "settings": {**settings, "c": c},
        "space": [space.mean, space.std],
        "forget_dataset": forget.digest(),
        "retain_dataset": retain.column_digest("pixel_values"),
        "retain_classifier": tensors_digest(weights),
    }


def save_checkpoint(folder: Path, state: GANState, facts: dict[str, Any]) -> None:
    """Write networks and optimizers as tensors, everything else as JSON in the file's header.

    Parameters
    ----------
    folder : Path
        Exists.
    state : GANState
    facts : dict of plain values
        What makes this run this run; a checkpoint of other facts is not resumed from.
    """
    tensors = {}
    for name, network in state.networks().items():
        for key, tensor in network.state_dict().items():
            tensors[f"{name}/{key}"] = tensor.detach().cpu().contiguous()
    for name, optimizer in state.optimizers().items():
        for number, values in optimizer.state_dict()["state"].items():
            for key, tensor in values.items():
                tensors[f"{name}_optimizer/{number}/{key}"] = tensor.detach().cpu().contiguous()
    metadata = {
        "format": _FORMAT,
        "facts": json.dumps(facts, sort_keys=True),
        "epoch": str(state.epoch),
        "losses": json.dumps(state.generator.losses),
    }
    metadata["sha256"] = _digest(metadata, tensors)
    write_atomically(folder / CHECKPOINT, save(tensors, metadata=metadata))


def load_checkpoint(folder: Path, state: GANState, facts: dict[str, Any]) -> None:
    """Put what `save_checkpoint` wrote into `state`.

    Raises
    ------
    InputError
        If the file is no such checkpoint, or one of another run.
    """
    path = folder / CHECKPOINT
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise InputError(f"{path} is no checkpoint of SPD-GAN: choose another output_dir")
            _check_facts(path, json.loads(metadata["facts"]), facts)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no mapping
        if metadata.pop("sha256", None) != _digest(metadata, tensors):
            raise InputError(f"{path} is not as it was saved: delete it to start anew")
    except SafetensorError as error:
        raise InputError(
            f"{path} is no safetensors file: delete it to start anew, or choose another output_dir"
        ) from (error)
    for name, network in state.networks().items():
        network.load_state_dict(_below(tensors, f"{name}/"))
    for name, optimizer in state.optimizers().items():
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in _below(tensors, f"{name}_optimizer/").items():
            number, _, moment = key.partition("/")
            moments.setdefault(int(number), {})[moment] = tensor
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    state.epoch = int(metadata["epoch"])
    state.generator.losses = json.loads(metadata["losses"])


def _digest(metadata: dict[str, str], tensors: dict[str, torch.Tensor]) -> str:
    return hashlib.sha256(json.dumps([metadata, tensors_digest(tensors)], sort_keys=True).encode()).hexdigest()


def _check_facts(path: Path, saved: dict[str, Any], facts: dict[str, Any]) -> None:
    differing = sorted(name for name in facts if saved.get(name) != json.loads(json.dumps(facts[name])))
    if differing:
        raise InputError(
            f"{path} is a checkpoint of another run, of other {', '.join(differing)}: choose another output_dir, or "
            "delete it"
        )


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
