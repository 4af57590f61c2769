"""What critical weight rewinding keeps on disk, so that a killed run goes on: initial weights, then the mask."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import tensors_digest
from hf_privacy.errors import InputError
from hf_privacy.weights import load_mask, mask_digest, save_mask

# A folder of its own: beside the weights, a safetensors file that is none of them would stop a push.
FOLDER = "critical_weights"
INITIAL = "initial.safetensors"
MASK = "mask.safetensors"


def initial_state_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy, on the CPU, of the trainable weights and the saved buffers; under LoRA, of the adapter alone.

    Examples
    --------
    >>> list(initial_state_of(torch.nn.Linear(1, 1)))
    ['weight', 'bias']
    """
    # A quantised base saves more than its tensors.
    kept = dict(model.named_buffers(remove_duplicate=False))
    kept |= {name: weight for name, weight in model.named_parameters(remove_duplicate=False) if weight.requires_grad}
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
        if name in kept
    }


class RunFiles:
    """The initial weights and the mask of one run, in its folder while it runs and in its checkpoints.

    Each checkpoint of the training holds the initial weights, each one of the fine-tuning the mask, as hard links
    where the file system has them. The run's own copy, which they are links to, goes when the training is through.

    Parameters
    ----------
    output_dir : str or Path
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.output_dir = Path(output_dir)
        self.folder = self.output_dir / FOLDER

    def save_initial(self, state: Mapping[str, torch.Tensor]) -> None:
        """Write the initial weights to the run's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / INITIAL, save(dict(state)))

    def save_mask(self, mask: Mapping[str, torch.Tensor]) -> None:
        """Write the mask to the run's folder."""
        save_mask(mask, self.folder / MASK)

    def put_into_checkpoint(self, step: int, name: str) -> None:
        """Link the run's file of that name into the checkpoint of that step."""
        checkpoint = self._checkpoint(step)
        if not checkpoint.is_dir():
            return
        target = checkpoint / FOLDER / name
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(self.folder / name, target)
        except OSError:  # no hard links on this file system
            shutil.copyfile(self.folder / name, target)

    def load_initial(self, step: int, sha256: str) -> dict[str, torch.Tensor]:
        """The initial weights of the run that the checkpoint of that step is of.

        Raises
        ------
        InputError
            If the checkpoint has lost them.
        """
        with contextlib.suppress(OSError, SafetensorError):
            state = load((self._checkpoint(step) / FOLDER / INITIAL).read_bytes())
            if tensors_digest(state) == sha256:
                return state
        raise InputError(self._missing(step, INITIAL, "there is no initial state to rewind to"))

    def load_mask(self, step: int, sha256: str) -> dict[str, torch.Tensor]:
        """The mask of the run that the checkpoint of that step is of.

        Raises
        ------
        InputError
            If the checkpoint has lost it.
        """
        path = self._checkpoint(step) / FOLDER / MASK
        if path.is_file() and mask_digest(mask := load_mask(path)) == sha256:
            return mask
        raise InputError(self._missing(step, MASK, "it is not known which weights are frozen"))

    def remove(self) -> None:
        """Delete the run's own copies; checkpoints keep theirs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _checkpoint(self, step: int) -> Path:
        return self.output_dir / f"{PREFIX_CHECKPOINT_DIR}-{step}"

    def _missing(self, step: int, name: str, why: str) -> str:
        return (
            f"the checkpoint at step {step} has lost {FOLDER}/{name} ({why}): copy it back from the run that wrote "
            "the checkpoint, or start anew"
        )
