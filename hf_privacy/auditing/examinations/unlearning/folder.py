"""The folder of an unlearned model: weights and report, and beside them, private, what was forgotten."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import ForgetSplit
from hf_privacy.errors import InputError
from hf_privacy.recipe import UnlearningRows
from hf_privacy.recipe.folder import PRIVATE, RunFolder

UNLEARNED = "unlearned"


@dataclass(frozen=True)
class UnlearnedFolder:
    """One unlearned model's folder, ``<run>/unlearned/<method>``.

    It appears under its name whole or not at all: until then its files are in `partial`, beside it. ``private/`` tells
    which rows were forgotten; a push sends nothing of it.
    """

    path: Path

    @classmethod
    def of(cls, run: RunFolder, method: str) -> UnlearnedFolder:
        """Where a run's model goes that was unlearned by a method."""
        return cls(run.path / UNLEARNED / method.replace(":", "."))

    @property
    def partial(self) -> Path:
        """Where the model is made."""
        return self.path.with_name(f".{self.path.name}.partial")

    @property
    def lock(self) -> Path:
        """Held by the process that makes it."""
        return self.path.with_name(f".{self.path.name}.lock")

    @property
    def exists(self) -> bool:
        """Whether a whole model is here."""
        return _record_file(self.path).is_file()

    def record(self) -> dict[str, Any]:
        """Method, seconds, counts and hashes of the weights."""
        return json.loads(_record_file(self.path).read_text(encoding="utf-8"))

    def rows(self) -> UnlearningRows:
        """What was forgotten, retained, held out, and what judges it.

        Raises
        ------
        InputError
            When they are not those that were forgotten.
        """
        record, parts = self.record(), load_file(_rows_file(self.path))
        split = ForgetSplit(parts["forget"], parts["retain"], parts["heldout"])
        rows = UnlearningRows(split, parts["test"], record["kind"], record["n_requests"])
        if record.get("rows_sha256", rows.digest()) != rows.digest():  # version 0.1 kept none
            raise InputError(f"the rows kept in {str(self.path)!r} are not those that were forgotten: unlearn again")
        return rows

    def finish(self, record: dict[str, Any], rows: UnlearningRows) -> None:
        """Write rows and record to `partial` and give it its name."""
        record = {**record, "rows_sha256": rows.digest()}
        self._write_private(_rows_file, _rows_bytes(rows))
        self._write_private(_record_file, (json.dumps(record, indent=2) + "\n").encode())
        os.replace(self.partial, self.path)

    def write_section(self, section: dict[str, Any]) -> None:
        """Keep the report's section beside the record, for models that are not audited."""
        write_atomically(
            self.path / PRIVATE / "unlearning_section.json", (json.dumps(section, indent=2) + "\n").encode()
        )

    def _write_private(self, file: Any, content: bytes) -> None:
        path = file(self.partial)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, mode=0o600)


def _record_file(folder: Path) -> Path:
    return folder / PRIVATE / "unlearning.json"


def _rows_file(folder: Path) -> Path:
    return folder / PRIVATE / "rows.safetensors"


def _rows_bytes(rows: UnlearningRows) -> bytes:
    split = rows.split
    parts = {"forget": split.forget, "retain": split.retain, "heldout": split.heldout, "test": rows.test}
    return save({name: np.ascontiguousarray(part) for name, part in parts.items()})
