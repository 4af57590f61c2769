"""A queue of requests to forget: one JSON object a line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hf_privacy.data import ForgetRequest
from hf_privacy.errors import InputError


@dataclass(frozen=True)
class QueuedRequest:
    """One line of a queue.

    Attributes
    ----------
    request_id : str
        What the one who asks calls it; it is kept as a salted hash only.
    request : ForgetRequest
    line : int
        Of the file, from 1.
    """

    request_id: str
    request: ForgetRequest
    line: int


def read_queue(path: str | Path) -> list[QueuedRequest]:
    """Every request of a queue, in its order; a line that is no request refuses the file as a whole.

    A line is ``{"request_id": "r-17", "where": {"person": "p3"}}``: an id of the request, and one of the forms of
    `hf_privacy.data.ForgetRequest`. Empty lines are passed over.

    Raises
    ------
    InputError
        Naming the line, and never what it holds.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "requests.jsonl"
    >>> _ = path.write_text('{"request_id": "a", "label": 3}\\n{"request_id": "b", "rows": [4, 7]}\\n')
    >>> [(queued.request_id, queued.request.kind) for queued in read_queue(path)]
    [('a', 'label'), ('b', 'rows')]
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"queue {path.name!r} is no file: pass a file with one JSON object a line")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"queue {path.name} is not UTF-8 text: pass a file with one JSON object a line") from None
    queue: list[QueuedRequest] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        queued = _request(line, number, path.name)
        if queued.request_id in seen:
            raise InputError(
                f"lines {seen[queued.request_id]} and {number} of {path.name} have the same request_id: give each "
                "request its own"
            )
        seen[queued.request_id] = number
        queue.append(queued)
    if not queue:
        raise InputError(f"queue {path.name} is empty: write one JSON object a line")
    return queue


def _request(line: str, number: int, name: str) -> QueuedRequest:
    where = f"line {number} of {name}"
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where} is no JSON: write one object a line; nothing was served") from None
    if not isinstance(values, dict):
        raise InputError(f'{where} is no JSON object: write {{"request_id": …, "rows": […]}}; nothing was served')
    request_id = values.pop("request_id", None)
    if not isinstance(request_id, str) or not request_id:
        raise InputError(f"{where} has no request_id: give each request an id of its own, as text")
    try:
        return QueuedRequest(request_id, ForgetRequest.from_dict(values), number)
    except InputError as error:
        raise InputError(f"{where}: {error}; nothing was served") from None
    except TypeError:
        raise InputError(f"{where} has a value of the wrong kind: see ForgetRequest; nothing was served") from None
