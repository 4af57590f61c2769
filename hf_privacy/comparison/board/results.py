"""Result files as the rows of a board: which shapes there are, and that no two files hold the same row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hf_privacy.comparison.board.leakage import audited_rows, compared_rows
from hf_privacy.comparison.board.unlearned import classifier_rows, language_rows
from hf_privacy.comparison.plan import FORMAT
from hf_privacy.errors import InputError, one_line
from hf_privacy.hub.schema import validate_report
from hf_privacy.reports.leaks import refuse_leaks

LEAKAGE, UNLEARNING = "leakage", "unlearning"
_FORMATS = "hf_privacy "
_KINDS = (
    "the comparison.json of `hf-privacy compare`, a privacy_report.json, or a result of recipes/causal_lm or "
    "recipes/unlearning"
)
# What makes a row the same measurement, whatever file it is in.
_SAME = ("table", "study", "data", "model", "title", "outputs", "request", "attack")


def board_rows(files: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Give the rows of a board: one a model (or defence, or method) and attack, of every file.

    Parameters
    ----------
    files : sequence of path
        Results: the table of a comparison, a privacy report, an audited run's or an unlearning study's result.

    Returns
    -------
    list of dict
        By data and study. Each has ``table`` ("leakage" or "unlearning"), ``source`` (folder and name of its file),
        ``study``, ``commit`` (None where the file names none), ``data``, ``model``, ``unit`` ("row", or what whole
        groups are of), ``title``, ``mark`` ("undefended", "control", or of unlearning "nothing forgotten" and
        "retrained"; else None), ``attack``, ``strongest``, ``over`` (what its intervals are over) and its figures:
        see `compared_rows`, `audited_rows`, `classifier_rows` and `language_rows`.

    Raises
    ------
    InputError
        For what is no result, or one of another version, or lacks what its kind has; for two files with the same
        row; and for a row with a path or a token in it.
    """
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[Any, ...], Path] = {}
    for name in files:
        path = Path(name)
        for row in _rows_of(path):
            same = tuple(row.get(key) for key in _SAME)
            earlier = seen.setdefault(same, path)
            if earlier is not path:
                what = f"{row['title']!r} of {row['study']!r}"
                raise InputError(f"--board: {str(earlier)!r} and {str(path)!r} hold the same row, {what}: pass one")
            rows.append(row)
    rows.sort(key=lambda row: (row["table"], row["data"].lower(), row["study"].lower(), row["source"]))
    refuse_leaks(rows, name="the board")
    return rows


def _rows_of(path: Path) -> list[dict[str, Any]]:
    content = _read(path)
    try:
        table, found = _mapped(content, path)
        rows = [{"table": table, "source": _source(path), "commit": content.get("commit"), **row} for row in found]
    except (KeyError, TypeError, AttributeError, IndexError, StopIteration, ValueError) as error:
        if isinstance(error, InputError):
            raise InputError(f"--board: {str(path)!r}: {error}") from error
        raise InputError(
            f"--board: {str(path)!r} is no whole result, it lacks or breaks {one_line(error)}: make it again"
        ) from error
    if not rows:
        raise InputError(f"--board: {str(path)!r} holds no row: make it again")
    return rows


def _mapped(content: Any, path: Path) -> tuple[str, Iterator[dict[str, Any]]]:
    """The table that a result belongs to, and its rows, by the shape it has."""
    if not isinstance(content, dict):
        raise InputError(f"it is no result: pass {_KINDS}")
    if str(content.get("format", "")).startswith(_FORMATS):
        if content["format"] != FORMAT:
            raise InputError(f"its format is {content['format']!r} and this version reads {FORMAT!r}: compare again")
        return LEAKAGE, compared_rows(content)
    if "schema_version" in content:
        validate_report(content)
        return LEAKAGE, audited_rows(content, study=content["model"]["name"] or path.parent.name, path=path)
    if {"attacks", "split", "dataset", "utility"} <= content.keys():
        return LEAKAGE, audited_rows(content, study=_stem(path), path=path)
    if {"requests", "search", "config"} <= content.keys():
        return UNLEARNING, language_rows(content, path=path)
    if content and all(
        isinstance(table, dict) and {"sizes", "original"} <= table.keys() for table in content.values()
    ):
        return UNLEARNING, classifier_rows(content, path=path)
    raise InputError(f"it is no result that a board can show: pass {_KINDS}")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"--board: {str(path)!r} is no file: pass {_KINDS}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"--board: {str(path)!r} is no JSON ({one_line(error)}): pass {_KINDS}") from error


def _source(path: Path) -> str:
    """Folder and name: many results are called alike, and the folders above are of one machine."""
    return f"{path.resolve().parent.name}/{path.name}"


def _stem(path: Path) -> str:
    return path.stem.removesuffix("_result")
