"""The reference models of a plan in a shared folder: outputs, and a marker that is written last."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_privacy.errors import InputError
from hf_privacy.references.shared_folder import SharedFolder
from hf_privacy.references.written_plan import WrittenPlan

MARKER_FORMAT = 1


@dataclass(frozen=True)
class SharedStatus:
    """What a shared store holds of a plan: numbers of references, ascending.

    Attributes
    ----------
    done, failed, missing : list of int
        With a marker; without one, but with a failure recorded; with neither, as nobody began or the machine was lost.
    failures : dict of int to str
        What kind of error ended each failed one.
    """

    done: list[int]
    failed: list[int]
    missing: list[int]
    failures: dict[int, str]


class SharedStore:
    """Outputs of a plan's references, by number, in a folder that machines share.

    Of reference 3 there are ``rows/reference_0003.<digest>.safetensors`` (its file in a `SignalStore`), where weights
    are kept ``weights/reference_0003.<digest>/…``, and last ``reference_0003.json``, the marker: the plan's hash, and
    name, size and SHA-256 of each of those files. A reference without a marker is not there. As outputs are named by
    what is in them, two machines that train one reference write side by side, and whichever marker stands names files
    that are whole.

    Parameters
    ----------
    plan : WrittenPlan
    url : str
        Of the folder, see `SharedFolder`.
    """

    def __init__(self, plan: WrittenPlan, url: str) -> None:
        self.plan = plan
        self.folder = SharedFolder(url)

    def marker(self, number: int) -> dict[str, Any] | None:
        """The marker of a reference, or None where it is not done.

        Raises
        ------
        InputError
            For a marker of another plan.
        """
        content = self.folder.read(_marker_name(number))
        if content is None:
            return None
        try:
            marker = json.loads(content)
        except ValueError:
            marker = {}
        if not isinstance(marker, dict) or marker.get("plan") != self.plan.hash or marker.get("reference") != number:
            raise InputError(
                f"{_marker_name(number)} in {self.folder.name} is of another plan: give each plan a folder of its own "
                "(--store), or delete what lies there"
            )
        return marker

    def is_done(self, number: int) -> bool:
        """Whether a reference has its marker, and every file that it names is there in full length."""
        marker = self.marker(number)
        return marker is not None and all(
            self.folder.size(name) == file["bytes"] for name, file in marker["files"].items()
        )

    def publish(self, number: int, row: Path, weights: Path | None, made_on: Mapping[str, Any]) -> bool:
        """Bring a reference's files there, then its marker; whether the marker is ours and not another machine's.

        Parameters
        ----------
        number : int
        row : Path
            Its file in a local `SignalStore`.
        weights : Path, optional
            The folder of its kept weights.
        made_on : mapping
            Device, dtype and versions.
        """
        tag = _sha256(row)[:16]
        sources = {f"rows/reference_{number:04d}.{tag}.safetensors": row}
        if weights is not None:
            inside = sorted(path for path in weights.rglob("*") if path.is_file())
            sources |= {
                f"weights/reference_{number:04d}.{tag}/{path.relative_to(weights).as_posix()}": path for path in inside
            }
        marker = {
            "format": MARKER_FORMAT,
            "plan": self.plan.hash,
            "reference": number,
            "files": {name: {"sha256": _sha256(path), "bytes": path.stat().st_size} for name, path in sources.items()},
            "made_on": dict(made_on),
        }
        for name, path in reversed(sources.items()):  # weights first: the row says that they are kept
            self.folder.upload(path, name)
        content = (json.dumps(marker, indent=2, sort_keys=True) + "\n").encode()
        # A marker whose files were lost is put right; a whole one of another machine's stays.
        ours = self.folder.write(_marker_name(number), content, once=self.is_done(number) or not self._has(number))
        self.folder.delete(_failure_name(number))
        return ours

    def record_failure(self, number: int, error: BaseException) -> None:
        """Note that a training ended in an error, by its kind alone: a message may hold what no log should."""
        failure = {"plan": self.plan.hash, "reference": number, "error": type(error).__name__}
        self.folder.write(_failure_name(number), (json.dumps(failure) + "\n").encode())

    def status(self) -> SharedStatus:
        """What is done, failed and missing.

        Raises
        ------
        InputError
            As `marker`.
        """
        there = set(self.folder.names())
        failed_there = set(self.folder.names("failed")) if "failed" in there else set()
        done, failures, missing = [], {}, []
        for number in range(self.plan.n_references):
            if _marker_name(number) in there and self.is_done(number):
                done.append(number)
                continue
            failure = None
            if _failure_name(number).rpartition("/")[2] in failed_there:
                content = self.folder.read(_failure_name(number)) or b"{}"
                found = json.loads(content)
                failure = found.get("error") if found.get("plan") == self.plan.hash else None
            if failure is None:
                missing.append(number)
            else:
                failures[number] = str(failure)
        return SharedStatus(done, sorted(failures), missing, failures)

    def fetch(self, number: int, folder: Path) -> tuple[Path, Path | None] | None:
        """Bring a reference's files into a local folder: its row, and the folder of its weights.

        None where it is not done, or a file is not the one that its marker names.
        """
        marker = self.marker(number)
        if marker is None:
            return None
        row = weights = None
        for name, file in marker["files"].items():
            kind, _, inside = name.partition("/")
            path = folder / kind / inside
            # An absolute name, or one that climbs, would be written elsewhere.
            is_inside = path.resolve().is_relative_to(folder.resolve() / kind)
            if kind not in ("rows", "weights") or not is_inside or self.folder.size(name) is None:
                return None
            path.parent.mkdir(parents=True, exist_ok=True)
            self.folder.download(name, path)
            if _sha256(path) != file["sha256"]:
                return None
            if kind == "rows":
                row = path
            else:
                weights = folder / kind / Path(inside).parts[0]
        return None if row is None else (row, weights)

    def _has(self, number: int) -> bool:
        return self.folder.size(_marker_name(number)) is not None


def _marker_name(number: int) -> str:
    return f"reference_{number:04d}.json"


def _failure_name(number: int) -> str:
    return f"failed/reference_{number:04d}.json"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
