"""The log of served requests: lines are only added, and none of them tells who asked or what was forgotten."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hf_privacy.atomic_file import alone, disk_errors_named, write_atomically
from hf_privacy.errors import InputError

LOG_NAME = "unlearning_log.jsonl"
SALT_NAME = "salt"
_FIELDS = {"request", "method", "time", "weights_before", "weights_after", "n_new", "n_forgotten"}
_UNIT = "unit"  # a line of version 0.2 and before has none
_DIGEST = "sha256"
_LOCK_NAME = ".unlearning_log.lock"


class RequestLog:
    """What was served in one folder: when, by which method, on which weights, how many examples.

    A request is known by the keyed hash (HMAC-SHA-256) of its id under a salt that only this folder has, so that the
    log tells an auditor that a request he knows was served and tells nobody else which requests there were. The salt
    lies beside the log, readable by its owner only; without it the hashes match nothing. Each line holds a hash of
    itself and all before it, so that a line changed or taken out is noticed; processes that add lines at once
    wait for each other.

    Parameters
    ----------
    folder : path
        Made if absent.

    Examples
    --------
    >>> import tempfile
    >>> log = RequestLog(tempfile.mkdtemp())
    >>> name = log.name_of("r-17")
    >>> log.append(name, method="ssd", weights_before="a", weights_after="b", n_new=3, n_forgotten=3)
    >>> log.is_served("r-17"), log.is_served("r-18"), "r-17" in log.path.read_text()
    (True, False, False)
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / LOG_NAME

    def name_of(self, request_id: str) -> str:
        """The salted hash a request is known by: 64 hexadecimal digits."""
        return hmac.new(self._salt(), request_id.encode(), hashlib.sha256).hexdigest()

    def entries(self) -> list[dict[str, Any]]:
        """What was served, in order. The end of a line that a killed process did not finish is no entry.

        Raises
        ------
        InputError
            When a whole line is no entry, or it and those before it are not as they were written.
        """
        found = []
        before = b""
        for number, line in enumerate(self._content().split(b"\n")[:-1], start=1):
            try:
                entry = json.loads(line)
                kept = entry.pop(_DIGEST, None)  # none: a line of version 0.1
            except (ValueError, TypeError, AttributeError, RecursionError):
                entry, kept = {}, None
            if set(entry) - {_UNIT} != _FIELDS:
                raise InputError(f"line {number} of {LOG_NAME} is no entry: the log was changed; restore it")
            if kept not in (None, _digest(before, entry)):
                raise InputError(f"line {number} of {LOG_NAME}, or one before it, was changed: restore the log")
            found.append(entry)
            before += line + b"\n"
        return found

    def is_served(self, request_id: str) -> bool:
        """Whether there is an entry of this request."""
        name = self.name_of(request_id)
        return any(entry["request"] == name for entry in self.entries())

    def append(
        self,
        name: str,
        *,
        method: str,
        weights_before: str,
        weights_after: str,
        n_new: int,
        n_forgotten: int,
        unit: str = "row",
        time: str | None = None,
    ) -> None:
        """Add one line, on disk before this returns.

        Parameters
        ----------
        name : str
            What `name_of` gives.
        method : str
        weights_before, weights_after : str
            SHA-256 of the weights.
        n_new, n_forgotten : int
            Examples that this request added, and all that are forgotten by now.
        unit : str
            What was asked for as a whole: "row", or the name of the column whose values are groups, such as "author";
            never such a value.
        time : str, optional
            UTC, ISO 8601; now by default.

        Raises
        ------
        InputError
            For a request that is in the log already.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with alone(self.folder / _LOCK_NAME):
            self._append(
                {
                    "request": name,
                    "method": method,
                    "time": time or utc_now(),
                    "weights_before": weights_before,
                    "weights_after": weights_after,
                    "n_new": n_new,
                    "n_forgotten": n_forgotten,
                    _UNIT: unit,
                }
            )

    def _append(self, entry: dict[str, Any]) -> None:
        if any(other["request"] == entry["request"] for other in self.entries()):
            raise InputError("the request is in the log already: it is served once")
        content = self._content()
        whole = content[: content.rfind(b"\n") + 1]  # a half-written line is no entry
        line = (json.dumps({**entry, _DIGEST: _digest(whole, entry)}) + "\n").encode()
        flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_BINARY", 0)
        with disk_errors_named(self.path, len(line)), open(os.open(self.path, flags, 0o644), "r+b") as file:
            file.truncate(len(whole))
            file.seek(len(whole))
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.is_file() else b""

    def _salt(self) -> bytes:
        file = self.folder / SALT_NAME
        if not file.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            with alone(self.folder / _LOCK_NAME):
                # Looked at alone: another process may make the salt, and then the log, between two looks.
                if not file.is_file() and self.path.is_file():
                    raise InputError(f"{LOG_NAME} has lost its salt: without it no request can be told from another")
                if not file.is_file():
                    write_atomically(file, secrets.token_bytes(32), mode=0o600)
        return file.read_bytes()


def _digest(before: bytes, entry: dict[str, Any]) -> str:
    return hashlib.sha256(before + json.dumps(entry).encode()).hexdigest()


def utc_now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
