"""The folder of an unlearned model: weights and report, and beside them, private, what was forgotten."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from hf_privacy.atomic_file import claimed, write_atomically
from hf_privacy.data import ForgetSplit
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.recipe import UnlearningRows
from hf_privacy.recipe.folder import PRIVATE, RunFolder
from hf_privacy.recipe.forget_rows import ROW

UNLEARNED = "unlearned"
PLAN_FILE = "plan.json"
RECORD_FILE = f"{PRIVATE}/unlearning.json"
ROWS_FILE = f"{PRIVATE}/rows.safetensors"
SECTION_FILE = f"{PRIVATE}/unlearning_section.json"


def folder_name(method: str) -> str:
    """A method's name as that of a folder: a user's own has a colon.

    Examples
    --------
    >>> folder_name("my_package.forgetting:MyTrainer")
    'my_package.forgetting.MyTrainer'
    """
    return method.replace(":", ".")


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
        return cls(run.path / UNLEARNED / folder_name(method))

    @property
    def partial(self) -> Path:
        """Where the model is made."""
        return self.path.with_name(f".{self.path.name}.partial")

    @property
    def exists(self) -> bool:
        """Whether a whole model is here."""
        return (self.path / RECORD_FILE).is_file()

    def record(self) -> dict[str, Any]:
        """Method, seconds, counts and hashes of the weights."""
        return json.loads((self.path / RECORD_FILE).read_text(encoding="utf-8"))

    def rows(self) -> UnlearningRows:
        """What was forgotten, retained, held out, and what judges it.

        Raises
        ------
        InputError
            When they are not those that were forgotten.
        """
        record, parts = self.record(), load_file(self.path / ROWS_FILE)
        split = ForgetSplit(parts["forget"], parts["retain"], parts["heldout"])
        rows = UnlearningRows(
            split, parts["test"], record["kind"], record["n_requests"], record.get("unit", ROW), parts.get("groups")
        )
        if record.get("rows_sha256", rows.digest()) != rows.digest():  # version 0.1 kept none
            raise InputError(f"the rows kept in {str(self.path)!r} are not those that were forgotten: unlearn again")
        return rows

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time makes this folder; for another this is an `InputError`."""
        os.makedirs(self.path.parent, exist_ok=True)
        with claimed(self.path.with_name(f".{self.path.name}.lock")) as mine:
            if not mine:
                raise InputError(f"another process is unlearning into {str(self.path)!r}: wait for it")
            yield

    def start(self, plan: str) -> None:
        """Keep in `partial` what a killed run of the same plan left; clear away that of another."""
        file = self.partial / PLAN_FILE
        if file.is_file() and json.loads(file.read_text(encoding="utf-8")) == plan:
            return
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        write_atomically(file, json.dumps(plan).encode())

    def finish(self, record: dict[str, Any], rows: UnlearningRows) -> None:
        """Write rows and record to `partial`, leave out what only resuming needs, and give it its name."""
        split = rows.split
        parts = {"forget": split.forget, "retain": split.retain, "heldout": split.heldout, "test": rows.test}
        if rows.groups is not None:
            parts["groups"] = rows.groups
        arrays = save({name: np.ascontiguousarray(part) for name, part in parts.items()})
        (self.partial / PRIVATE).mkdir(parents=True, exist_ok=True)
        write_atomically(self.partial / ROWS_FILE, arrays, mode=0o600)
        write_atomically(self.partial / RECORD_FILE, _json({**record, "rows_sha256": rows.digest()}), mode=0o600)
        for checkpoint in self.partial.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
        (self.partial / PLAN_FILE).unlink(missing_ok=True)
        os.replace(self.partial, self.path)

    def write_section(self, section: dict[str, Any]) -> None:
        """Keep the report's section beside the record."""
        write_atomically(self.path / SECTION_FILE, _json(section))

    def section(self) -> dict[str, Any] | None:
        """The report's section; None where there is none, or the weights are others than it is of."""
        file = self.path / SECTION_FILE
        if not file.is_file() or weights_sha256(self.path) != self.record()["weights_after"]:
            return None
        return json.loads(file.read_text(encoding="utf-8"))


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
