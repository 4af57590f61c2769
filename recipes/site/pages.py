"""Pages that are there, copied for the site; a link to a file of the package leads to its documentation."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

LINK = re.compile(r"(?<!\\)(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^()\s]+)\)")
_FENCE = re.compile(r"^(\s*)(```+|~~~+).*?^\s*\2\s*$", re.MULTILINE | re.DOTALL)
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
TOP = "index.md"  # what the README of the repository becomes


def page_files(root: Path) -> list[Path]:
    """The Markdown files that become pages, relative to the repository."""
    found = [Path("README.md"), Path("CHANGELOG.md")]
    for folder in ("recipes", "model_cards"):
        found += sorted(path.relative_to(root) for path in (root / folder).rglob("*.md"))
    return found


def links(text: str) -> Iterator[str]:
    """Where the links and pictures of a page lead, but for those shown in code."""
    for match in LINK.finditer(_without_code(text)):
        yield match[2]


def is_elsewhere(target: str) -> bool:
    """Whether a link leaves the repository, or stays on its page.

    Examples
    --------
    >>> is_elsewhere("https://arxiv.org/abs/1"), is_elsewhere("#attacks"), is_elsewhere("../README.md#attacks")
    (True, True, False)
    """
    return target.startswith("#") or re.match(r"[a-z]+:", target) is not None


def as_site_page(
    text: str, page: Path, root: Path, *, documented: Mapping[str, str], linked: Callable[[Path], None]
) -> str:
    """A page with its links as the site has them.

    Parameters
    ----------
    text : str
    page : path
        Where it stands, relative to the repository.
    root : path
        The repository.
    documented : mapping of str to str
        Files and folders of the package, relative to the repository, and the full name or page that documents each.
    linked : callable
        Told of each other file that is linked or shown, relative to the repository, so that it is taken along.

    Raises
    ------
    FileNotFoundError
        For a link to what is not there.
    """
    pages = set(page_files(root))

    def moved(match: re.Match) -> str:
        label, target = match[1], match[2]
        if is_elsewhere(target):
            return match[0]
        name, _, anchor = target.partition("#")
        path = Path(os.path.normpath(page.parent / name))
        if not (root / path).exists():
            raise FileNotFoundError(f"{page} links to {target}, which is not there")
        if path / "README.md" in pages:
            path = path / "README.md"
        if path in pages:
            there = Path(TOP) if path == Path("README.md") else path
            return f"{label}({_relative(there, page)}{'#' + anchor if anchor else ''})"
        if path.as_posix() in documented:
            name = documented[path.as_posix()]
            return f"{label}({_relative(Path(name), page) if name.endswith('.md') else '#' + name})"
        if (root / path).is_dir():  # of files that no page is about: tests, and the like
            return label[1:-1]
        linked(path)
        return f"{label}({target})" if label.startswith("!") else f"{label}(raw:{_relative(path, page)})"

    text = _FRONT_MATTER.sub("", text)
    kept, text = _set_aside(text)
    text = LINK.sub(moved, text)
    return re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], text)


def _relative(target: Path, page: Path) -> str:
    here = Path(TOP).parent if page == Path("README.md") else page.parent
    return os.path.relpath(target, here).replace(os.sep, "/")


def _set_aside(text: str) -> tuple[list[str], str]:
    """Blocks of code, and the text with a mark in the place of each."""
    kept: list[str] = []

    def mark(match: re.Match) -> str:
        kept.append(match[0])
        return f"\0{len(kept) - 1}\0"

    return kept, _FENCE.sub(mark, text)


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`(?!\])", "", _set_aside(text)[1])
