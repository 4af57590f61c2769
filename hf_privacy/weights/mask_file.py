"""Masks on disk, one bit an entry, and the digest that identifies a mask."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hf_privacy.atomic_file import write_atomically
from hf_privacy.errors import InputError

_FORMAT = "hf_privacy weight mask 1"


def save_mask(mask: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Write a mask as safetensors, eight entries a byte; the file appears whole or not at all.

    Parameters
    ----------
    mask : mapping of str to bool tensor
    path : str or Path
        File to write; its folder is made.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_mask({"weight": torch.tensor([[True, False]])}, f"{folder}/mask.safetensors")
    ...     load_mask(f"{folder}/mask.safetensors")
    {'weight': tensor([[ True, False]])}
    """
    packed = {name: torch.from_numpy(_pack(selected)) for name, selected in mask.items()}
    shapes = json.dumps({name: list(selected.shape) for name, selected in mask.items()})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(packed, metadata={"format": _FORMAT, "shapes": shapes}))


def load_mask(path: str | Path) -> dict[str, torch.Tensor]:
    """Read a mask that `save_mask` wrote, in the order it had.

    Raises
    ------
    InputError
        If the file is missing, or holds no mask.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise InputError(f"{path} holds no weight mask: pass a file that save_mask wrote")
            shapes = json.loads(metadata["shapes"])
            return {name: _unpack(file.get_tensor(name), shape) for name, shape in shapes.items()}
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: pass a file that save_mask wrote") from error
    except SafetensorError as error:
        raise InputError(f"{path} is no safetensors file: pass a file that save_mask wrote") from error


def mask_digest(mask: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the names, shapes and entries of a mask; the order of its tensors plays no part.

    Examples
    --------
    >>> one, other = torch.tensor([True]), torch.tensor([False])
    >>> mask_digest({"a": one, "b": other}) == mask_digest({"b": other, "a": one})
    True
    >>> mask_digest({"a": one}) == mask_digest({"a": other})
    False
    """
    digest = hashlib.sha256()
    for name in sorted(mask):
        digest.update(f"{name} {tuple(mask[name].shape)}\n".encode())
        digest.update(_pack(mask[name]).tobytes())
    return digest.hexdigest()


def _pack(selected: torch.Tensor) -> np.ndarray:
    return np.packbits(selected.detach().cpu().numpy().reshape(-1))


def _unpack(packed: torch.Tensor, shape: list[int]) -> torch.Tensor:
    size = int(np.prod(shape, dtype=np.int64))
    return torch.from_numpy(np.unpackbits(packed.numpy(), count=size).astype(bool)).reshape(shape)
