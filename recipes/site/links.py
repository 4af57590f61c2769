"""Every link of a built site that stays in it, followed: is the file there, and the place in it?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The places of a page that can be linked to, and where it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.targets: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and (name == "id" or (name == "name" and tag == "a")):
                self.places.add(value)
            elif value and name in ("href", "src") and tag != "base":
                self.targets.add(value)


@cache
def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def dead_links(site: Path) -> list[str]:
    """Links of the site's own pages to a file or place that is not there, one sentence each."""
    return sorted({line for page in site.rglob("*.html") for line in _dead_of(page, site)})


def _dead_of(page: Path, site: Path) -> Iterator[str]:
    here = page.relative_to(site)
    for target in _read(page).targets:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
            continue
        path = Path(os.path.normpath(page.parent / unquote(parts.path))) if parts.path else page
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            yield f"{here} links to {target}, which is not there"
        elif parts.fragment and path.suffix == ".html" and unquote(parts.fragment) not in _read(path).places:
            yield f"{here} links to {target}, and there is no such place in that page"
