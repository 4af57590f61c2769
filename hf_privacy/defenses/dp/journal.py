"""What of a private training ever left memory: the journal that going back to an older checkpoint cannot turn back."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from hf_privacy.atomic_file import disk_errors_named
from hf_privacy.defenses.dp.accounting import Step, checked_steps, merged
from hf_privacy.errors import InputError

JOURNAL_FILE = Path("private") / "dp_journal.jsonl"


class ReleaseJournal:
    """The noisy steps of every attempt at one training whose weights were saved, evaluated or handed back.

    A checkpoint's ledger knows the steps that led to it. Who goes back to an older checkpoint and trains on takes
    further steps, and those taken before the rollback stay known to whoever saw their weights: ε is that of all of
    them together. The journal is append-only, in the training's ``private/`` folder: one line a release, with the
    steps of its attempt so far, on disk before the weights are.

    Parameters
    ----------
    output_dir : path
        The training's folder.
    training : str
        Which training, as its ledger says; others in the folder do not count.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, second = (ReleaseJournal(folder, "5f0c") for _ in range(2))
    ...     first.release([(1.0, 0.1, 20)])
    ...     second.release([(1.0, 0.1, 10)])  # an attempt of its own: back to a checkpoint, and ten steps from there
    ...     second.released()
    [(1.0, 0.1, 30)]
    """

    def __init__(self, output_dir: str | Path, training: str) -> None:
        self.path = Path(output_dir) / JOURNAL_FILE
        self.training = training
        self._attempt = secrets.token_hex(8)
        self._last: list[Step] = []

    def release(self, steps: list[Step]) -> None:
        """Write down, flushed to disk, that this attempt's steps so far are about to be seen."""
        if steps == self._last:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"training": self.training, "attempt": self._attempt, "steps": [list(s) for s in steps]}
        line = json.dumps(entry).encode() + b"\n"
        with disk_errors_named(self.path, len(line)):
            self._append(line)
        self._last = list(steps)

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        try:
            # A line that a power cut left torn was of weights that were not written; it must not swallow this one.
            torn = os.lseek(descriptor, 0, os.SEEK_END) > 0
            if torn:
                os.lseek(descriptor, -1, os.SEEK_END)
                torn = os.read(descriptor, 1) != b"\n"
            left = (b"\n" if torn else b"") + line
            while left:  # a disk that fills up takes a part, and says so only when asked for the rest
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def released(self) -> list[Step]:
        """All steps of this training that were ever released, equal kinds merged.

        Raises
        ------
        InputError
            If the journal is missing, or holds what no training writes: what was released is then not known.
        """
        if not self.path.is_file():
            raise InputError(
                f"{JOURNAL_FILE} is missing from the folder of the checkpoint: what was released after the checkpoint "
                "is unknown, and ε would be under-reported; copy the whole folder, private/ included, or train anew"
            )
        last: dict[str, list[Step]] = {}
        for number, line in enumerate(self.path.read_bytes().split(b"\n"), start=1):
            try:
                entry = json.loads(line)
            except ValueError as error:
                if _is_torn(line):
                    continue
                raise InputError(f"line {number} of {JOURNAL_FILE} is no entry of a journal: {error}") from error
            try:
                if entry["training"] == self.training:
                    last[entry["attempt"]] = checked_steps(entry["steps"])
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(f"line {number} of {JOURNAL_FILE} is no entry of a journal: {error}") from error
        return merged([step for steps in last.values() for step in steps])


def _is_torn(line: bytes) -> bool:
    """Whether a line is nothing, or the beginning of an entry: its weights were never written."""
    beginning = b'{"training"'
    return line[: len(beginning)] == beginning[: len(line)]
