"""What callbacks learn of each example while a model trains: one folder of a run, one file for each epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from hf_privacy.atomic_file import remove_leftovers, write_atomically
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals.tensor_file import TensorFile, sealed

# Under "private": what is in there tells of single examples, and no push of this package sends it.
FOLDER = Path("private") / "training_dynamics"
METADATA = "metadata.json"
_VERSION = 2
_DTYPES = {"F64": np.float64, "U8": np.bool_}


def dataset_sha256(dataset: TensorDataset) -> str:
    """SHA-256 of the tensors themselves, column by column: equal rows in the same order, encoded alike.

    Examples
    --------
    >>> import torch
    >>> dataset = TensorDataset({"features": torch.eye(2), "labels": torch.tensor([0, 1])})
    >>> dataset_sha256(dataset) == dataset_sha256(dataset.subset([1, 0]))
    False
    """
    digest = hashlib.sha256(str(len(dataset)).encode())
    for start in range(0, len(dataset), 4096):
        stop = min(start + 4096, len(dataset))
        for name in sorted(dataset.column_names):
            shape = (stop - start, *dataset.row_shape(name))
            digest.update(f"{name}{shape}{dataset.dtype(name)}".encode())
            for piece in dataset.pieces(name, start, stop):  # a column of a view is a copy: not all of it at once
                digest.update(piece.contiguous().numpy())
    return digest.hexdigest()


class DynamicsStore:
    """Values of N examples after the epochs of one run, by stream (one for each callback).

    A safetensors file for each stream and epoch, named by the optimizer step, and one JSON file that lists them, with
    the dataset's hash, the settings and the seconds spent. Each is written whole or not at all, a file before its line
    in the list, so that a kill at any time leaves a store that reads.

    Parameters
    ----------
    output_dir : str or Path
        Of the run; the store is its folder "private/training_dynamics".
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.folder = Path(output_dir) / FOLDER

    @property
    def exists(self) -> bool:
        """Whether a run has begun to write here."""
        return (self.folder / METADATA).is_file()

    def metadata(self) -> dict[str, Any]:
        """The list: ``dataset_sha256``, ``n_examples`` and ``streams``.

        Raises
        ------
        InputError
            If there is none, or it cannot be read.
        """
        path = self.folder / METADATA
        try:
            metadata = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(
                f"there are no training dynamics in {str(self.folder)!r}: pass the output_dir of a run that was "
                "trained with TrainingDynamicsCallback or CurvatureCallback"
            ) from error
        except ValueError as error:
            raise InputError(f"{str(path)!r} is damaged: delete its folder and train again") from error
        if metadata.get("version") != _VERSION:
            raise InputError(
                f"{str(path)!r} is of version {metadata.get('version')}, and this package reads {_VERSION}: delete "
                "its folder and train again"
            )
        return metadata

    def begin(
        self,
        stream: str,
        *,
        dataset: TensorDataset,
        settings: Mapping[str, Any],
        tensors: Mapping[str, str],
        step: int,
        keep: list[int],
    ) -> list[int]:
        """Make room for a run that starts, or goes on, after optimizer step `step`.

        Parameters
        ----------
        stream : str
        dataset : TensorDataset
            The examples, in order.
        settings : mapping
            Plain values that the numbers depend on.
        tensors : mapping of str to {"F64", "U8"}
            The values kept for each example.
        step : int
            0 for a run that starts anew: what the stream holds goes.
        keep : list of int
            Steps whose values may stay, if they are there.

        Returns
        -------
        list of int
            Steps whose values are here, ascending.

        Raises
        ------
        InputError
            If the store is of other examples, or, for a run that goes on, its stream of other settings.
        """
        sha256 = dataset_sha256(dataset)
        streams: dict[str, Any] = {}
        if self.exists:
            metadata = self.metadata()
            if metadata["dataset_sha256"] != sha256:
                raise InputError(
                    f"{str(self.folder)!r} holds the training dynamics of another dataset ({metadata['n_examples']} "
                    f"examples, sha256 {metadata['dataset_sha256'][:12]}; yours: {len(dataset)}, {sha256[:12]}): pass "
                    "every callback the same dataset, choose another output_dir, or delete that folder"
                )
            streams = metadata["streams"]
            remove_leftovers(self.folder)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
        earlier = streams.get(stream)
        entries = []
        if earlier is not None and step > 0:
            theirs = earlier["settings"]
            changed = sorted(name for name in {*settings, *theirs} if settings.get(name) != theirs.get(name))
            if changed or dict(tensors) != earlier["tensors"]:
                raise InputError(
                    f"the training dynamics in {str(self.folder)!r} were collected with other settings "
                    f"({', '.join(changed) or 'other values'}): resume with theirs, or delete that folder"
                )
            entries = [entry for entry in earlier["entries"] if entry["step"] in keep]
        streams[stream] = {"settings": dict(settings), "tensors": dict(tensors), "entries": entries}
        self._write({"dataset_sha256": sha256, "n_examples": len(dataset), "streams": streams})
        kept = {self._file(stream, entry["step"]) for entry in entries}
        for path in self.folder.glob(f"{stream}-*.safetensors"):
            if path not in kept:
                path.unlink()
        return sorted(entry["step"] for entry in entries)

    def write(self, stream: str, values: Mapping[str, np.ndarray], *, step: int, epoch: float, seconds: float) -> None:
        """Keep the values [N] of one epoch, in place of those of the same step."""
        metadata = self.metadata()
        tensors = metadata["streams"][stream]["tensors"]
        arrays = {
            name: np.ascontiguousarray(values[name], dtype=np.float64 if kind == "F64" else np.uint8)
            for name, kind in tensors.items()
        }
        said = sealed(arrays, {"stream": stream, "step": str(step)})
        write_atomically(self._file(stream, step), save(arrays, metadata=said))
        entries = [entry for entry in metadata["streams"][stream]["entries"] if entry["step"] != step]
        entries.append({"step": step, "epoch": epoch, "seconds": seconds})
        metadata["streams"][stream]["entries"] = sorted(entries, key=lambda entry: entry["step"])
        self._write(metadata)

    def read(self, stream: str) -> dict[str, np.ndarray]:
        """The values of a stream: arrays [E, N], and ``epochs`` [E].

        Raises
        ------
        InputError
            For a missing or damaged file.
        """
        metadata = self.metadata()
        described, n_examples = metadata["streams"][stream], metadata["n_examples"]
        layout = {name: (kind, (n_examples,)) for name, kind in described["tensors"].items()}
        files = []
        for entry in described["entries"]:
            path = self._file(stream, entry["step"])
            file = TensorFile.open(path, layout)
            place = {"stream": stream, "step": str(entry["step"])}
            if file is None or not place.items() <= file.metadata.items() or not file.is_sealed():
                raise InputError(f"{str(path)!r} is missing or damaged: delete its folder and train again")
            files.append(file)
        arrays = {}
        for name, kind in described["tensors"].items():
            arrays[name] = np.empty((len(files), n_examples), dtype=_DTYPES[kind])
            for row, file in enumerate(files):
                arrays[name][row] = file.mapped()[name]
        arrays["epochs"] = np.array([entry["epoch"] for entry in described["entries"]], dtype=np.float64)
        return arrays

    def _file(self, stream: str, step: int) -> Path:
        return self.folder / f"{stream}-{step:08d}.safetensors"

    def _write(self, metadata: dict[str, Any]) -> None:
        for described in metadata["streams"].values():
            described["seconds"] = sum(entry["seconds"] for entry in described["entries"])
        content = json.dumps({**metadata, "version": _VERSION}, indent=2) + "\n"
        write_atomically(self.folder / METADATA, content.encode())


def read_training_dynamics(folder: str | Path) -> dict[str, np.ndarray]:
    """What `TrainingDynamicsCallback` and `CurvatureCallback` kept of a run, as arrays.

    Parameters
    ----------
    folder : str or Path
        The run's ``output_dir``.

    Returns
    -------
    dict of str to array
        From `TrainingDynamicsCallback`: ``loss`` (nats), ``probability`` (of the true class), ``el2n`` (in [0, √2]),
        float64 [E, N], ``correct``, bool [E, N], and ``epochs``, float64 [E], ascending: how many epochs were trained
        when a row was taken; of a causal language model ``token_accuracy``, float64 [E, N], in place of ``el2n`` and
        ``correct``. From `CurvatureCallback`: ``curvature_trace``, ``curvature_squared_norm`` and
        ``curvature_norm`` (zero order: ``curvature_squared_norm`` and ``curvature_zero_order``), float64 [F, N], and
        ``curvature_epochs``, float64 [F]. Columns are the examples in the order of the callbacks' dataset. A callback
        that did not run has no entries.

    Raises
    ------
    InputError
        If there are none, or a file is missing or damaged.
    """
    store = DynamicsStore(folder)
    arrays = {}
    for stream in store.metadata()["streams"]:
        prefix = "" if stream == "signals" else f"{stream}_"
        arrays |= {prefix + name: values for name, values in store.read(stream).items()}
    return arrays
