"""`hf-privacy compare --board`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.output import show
from hf_privacy.errors import InputError
from hf_privacy.launch import launched_processes

OUTPUT = "board.html"
FORMAT = "hf_privacy board 1"


def run(options: Options) -> int:
    """Draw one page from result files, write it, and push it to a Space where one is named."""
    flags = options.flags
    _refuse_what_does_not_go_together(options)
    from hf_privacy.comparison.board import board_page, board_rows

    rows = board_rows(flags["board"])
    page = board_page(rows)
    lines: list[str] = []
    document: dict[str, Any] = {"format": FORMAT, "rows": rows}
    if flags["output"] is not None or flags["push_to_space"] is None:
        path = _written(page, flags["output"] or OUTPUT)
        lines.append(f"board: {path} ({len(rows)} rows)")
        document["page"] = str(path)
    if flags["push_to_space"] is not None:
        text, pushed = _pushed(page, flags)
        lines.append(text)
        document |= pushed
    show("\n".join(lines), lambda: document)
    return 0


def _refuse_what_does_not_go_together(options: Options) -> None:
    flags = options.flags
    if options.config is not None:
        raise InputError("--board and --config are both given: a board is drawn from results, a comparison makes one")
    if options.overrides:
        raise InputError(f"--board takes no keys of a comparison: leave --{next(iter(options.overrides))} out")
    if launched_processes() > 1:
        raise InputError("a board was asked for in several processes, each of which would draw it: start one")
    if flags["push_to_space"] is None and (flags["public"] or flags["dry_run"]):
        raise InputError("--public and --dry-run are of --push-to-space: pass --push-to-space owner/name too")


def _written(page: str, output: Any) -> Path:
    from hf_privacy.atomic_file import write_atomically

    path = Path(output)
    if path.is_dir():
        raise InputError(f"--output is {output!r}, which is a folder: pass a file, such as {path / OUTPUT}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())
    return path


def _pushed(page: str, flags: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a push, or a dry run, did: for a reader and for a program."""
    from hf_privacy.comparison.board import board_space_files, push_board
    from hf_privacy.comparison.board.space import check_space

    name, private = flags["push_to_space"], not flags["public"]
    check_space(name)
    files = board_space_files(page)
    if flags["dry_run"]:
        sizes = "\n".join(f"  {file:<30} {len(content):>8,} bytes" for file, content in files.items())
        text = f"{'private' if private else 'public'} Space {name}, main:\n{sizes}\na dry run: nothing was sent"
        listed = [{"name": file, "bytes": len(content)} for file, content in files.items()]
        return text, {"pushed": False, "repo_id": name, "private": private, "files": listed}
    from hf_privacy.hub import check_login

    url = push_board(files, name, token=check_login(), private=private).url
    return f"pushed: {url}", {"pushed": True, "repo_id": name, "private": private, "url": url}
