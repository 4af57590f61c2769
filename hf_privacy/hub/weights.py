"""One hash for the weights of a saved model, whatever files they lie in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from hf_privacy.errors import InputError

_CHUNK_BYTES = 1 << 22


class _Tensor(NamedTuple):
    file: Path
    dtype: str
    shape: list[int]
    start: int
    n_bytes: int


def _tensors_of(file: Path) -> dict[str, _Tensor]:
    """Where each tensor of a safetensors file lies, from the file's header (its length in 8 bytes, then JSON)."""
    try:
        # The library checks what a header can get wrong: lengths, overlaps, shapes that do not fit the bytes.
        with safe_open(str(file), framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} is not a readable safetensors file: {error}") from error
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(header_bytes))
    data_start = 8 + header_bytes
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            tensors[name] = _Tensor(file, entry["dtype"], entry["shape"], data_start + start, stop - start)
    return tensors


def weights_sha256(folder: str | Path) -> str:
    """SHA-256 of the tensors in all ``*.safetensors`` files at the top level of a folder.

    Hashed, for each tensor in the order of the names: name, dtype, shape and raw bytes. The value does not depend on
    how the tensors are sharded into files, on their order in a file, or on file metadata. A model is read in pieces of
    4 MiB, so memory does not grow with it.

    Not covered: anything but the tensors. The same weights under another ``config.json``, processor or tokenizer, or
    an adapter on another base model, compute something else and have the same hash.

    Parameters
    ----------
    folder
        A saved model (``model.safetensors`` or its shards) or a saved adapter (``adapter_model.safetensors``).

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    InputError
        When there are no safetensors files, one is damaged, or two hold a tensor of the same name.

    Examples
    --------
    >>> import numpy, tempfile
    >>> from safetensors.numpy import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"weight": numpy.ones((2, 2), "float32")}, f"{folder}/model.safetensors")
    ...     weights_sha256(folder)[:16]
    '9d38eb8bda804823'
    """
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise InputError(f"there are no *.safetensors weights in {folder}: save the model with save_pretrained first")
    tensors: dict[str, _Tensor] = {}
    for file in files:
        for name, tensor in _tensors_of(file).items():
            if name in tensors:
                raise InputError(
                    f"the tensor {name!r} is in both {tensors[name].file.name} and {file.name} of {folder}: "
                    "remove the files an earlier save left behind"
                )
            tensors[name] = tensor
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        # The description carries the length of what follows it, so no two models give one stream of bytes.
        description = json.dumps([name, tensor.dtype, tensor.shape, tensor.n_bytes]).encode()
        digest.update(len(description).to_bytes(8, "little") + description)
        with tensor.file.open("rb") as stream:
            stream.seek(tensor.start)
            left = tensor.n_bytes
            while left:
                piece = stream.read(min(left, _CHUNK_BYTES))
                if not piece:
                    raise InputError(f"{tensor.file} ends before its tensor {name!r} does: save the model again")
                digest.update(piece)
                left -= len(piece)
    return digest.hexdigest()
