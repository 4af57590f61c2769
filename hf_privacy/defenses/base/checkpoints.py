"""Which checkpoints a training can go on from: those that were saved to their end and are as they were saved."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from hf_privacy.atomic_file import write_atomically

MANIFEST = "manifest.json"
_PREFIX = "checkpoint-"
_CHUNK_BYTES = 1 << 22


def seal_checkpoint(checkpoint: str | Path) -> None:
    """Write the manifest of a checkpoint, the last of its files: size and SHA-256 of each.

    Examples
    --------
    >>> import tempfile
    >>> checkpoint = Path(tempfile.mkdtemp())
    >>> _ = (checkpoint / "model.safetensors").write_bytes(b"weights")
    >>> damage_of(checkpoint)
    'has no manifest: its saving was cut off'
    >>> seal_checkpoint(checkpoint)
    >>> damage_of(checkpoint) is None
    True
    """
    files = _files(Path(checkpoint))
    manifest = {name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for name, path in files.items()}
    write_atomically(Path(checkpoint) / MANIFEST, (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())


def damage_of(checkpoint: str | Path) -> str | None:
    """What is wrong with a checkpoint, after its name in a sentence; None when it is whole."""
    checkpoint = Path(checkpoint)
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        wanted = {name: (int(entry["bytes"]), str(entry["sha256"])) for name, entry in manifest.items()}
    except FileNotFoundError:
        return "has no manifest: its saving was cut off"
    except (AttributeError, KeyError, OSError, TypeError, ValueError):
        return f"has a {MANIFEST} that cannot be read"
    files = _files(checkpoint)
    for name in sorted({*wanted, *files}):
        if name not in files:
            return f"has lost {name}"
        if name not in wanted:
            return f"has a file more than was saved, {name}"
        # The size first: it costs nothing.
        if files[name].stat().st_size != wanted[name][0] or _sha256(files[name]) != wanted[name][1]:
            return f"has a changed {name}"
    return None


def last_whole_checkpoint(folder: str | Path) -> str | None:
    """The latest checkpoint in ``folder`` that is whole; None if there is none, or no such folder.

    A kill in the middle of a save leaves a checkpoint that cannot be resumed from, and so may a disk: an earlier one
    is taken then.
    """
    for _, checkpoint in sorted(_numbered(Path(folder)).items(), reverse=True):
        if damage_of(checkpoint) is None:
            return str(checkpoint)
    return None


def remove_old_checkpoints(folder: str | Path, *, limit: int | None, latest: Path, best: str | None) -> None:
    """Delete the oldest checkpoints until ``limit`` are left; ``latest`` and ``best`` always stay."""
    if not limit or limit < 0:
        return
    kept = {latest.name, "" if best is None else Path(best).name}
    found = sorted(_numbered(Path(folder)).values(), key=lambda checkpoint: checkpoint.stat().st_mtime_ns)
    for checkpoint in [path for path in found if path.name not in kept][: max(0, len(found) - limit)]:
        shutil.rmtree(checkpoint, ignore_errors=True)


def _numbered(folder: Path) -> dict[int, Path]:
    names = {path: path.name.removeprefix(_PREFIX) for path in folder.glob(f"{_PREFIX}*")}
    return {int(number): path for path, number in names.items() if number.isdecimal()}


def _files(checkpoint: Path) -> dict[str, Path]:
    """By their names within it; the manifest and hidden files, which file systems and browsers leave, are none."""
    files = {path.relative_to(checkpoint).as_posix(): path for path in checkpoint.rglob("*") if path.is_file()}
    return {name: path for name, path in files.items() if name != MANIFEST and not path.name.startswith(".")}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            digest.update(piece)
    return digest.hexdigest()
