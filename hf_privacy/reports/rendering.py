"""Page and card from the templates, with what the sections show of the report."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hf_privacy.reports.explain import what_it_does_not_mean, what_it_means
from hf_privacy.reports.report import Report
from hf_privacy.reports.sections import SECTIONS
from hf_privacy.reports.words import percent, rate


def render(template: str, report: Report | None, **values: Any) -> str:
    """Fill a file of ``templates/`` in with a report (None: not audited), what its sections show, and more values."""
    shown: dict[str, Any] = {"report": report}
    if report is not None:
        shown |= {"headline": report.headline(), "meaning": what_it_means(report)}
        shown |= {"no_meaning": what_it_does_not_mean(report)}
        for section in SECTIONS:
            shown |= section.shown(report) if hasattr(section, "shown") else {}
    return _environment().get_template(template).render(**shown, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
        # Markdown is no HTML, so values pass through the filter `md` there.
        autoescape=lambda name: bool(name and name.endswith(".html.jinja")),
    )  # fmt: skip
    environment.filters.update(percent=percent, md=_in_markdown, code=_in_code, py=_in_python, fence=_in_fence)
    environment.filters.update(prose=_prose_in_markdown, prose_html=_prose_in_html)
    environment.globals.update(rate=rate)
    return environment


def _in_markdown(text: Any) -> str:
    """Make a text safe inside a Markdown sentence or table cell: no HTML, column, new line, link or emphasis."""
    flat = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An underscore inside a word, as in most names here, means nothing to Markdown.
    return re.sub(r"([\\|`*~]|(?<![^\W_])_|_(?![^\W_])|!(?=\[)|\](?=[(\[:]))", r"\\\1", flat)


def _prose_in_markdown(text: Any) -> str:
    """A text whose parts between backticks are code, as Markdown."""
    return "".join(_in_code(part) if inside else _in_markdown_part(part) for part, inside in _parts(text))


def _prose_in_html(text: Any) -> Markup:
    """A text whose parts between backticks are code, as HTML."""
    spaced = str(text).replace(" %", "\u00a0%")
    return Markup("").join(Markup("<code>{}</code>").format(part) if code else part for part, code in _parts(spaced))


def _parts(text: Any) -> list[tuple[str, bool]]:
    """The text cut at its backticks, and whether each part stands between two of them."""
    parts = str(text).split("`")
    return [(part, number % 2 == 1 and number < len(parts) - 1) for number, part in enumerate(parts)]


def _in_markdown_part(text: str) -> str:
    """As `_in_markdown`, with the spaces at both ends."""
    start, end = " " * text.startswith(" "), " " * (text.endswith(" ") and bool(text.strip()))
    return start + _in_markdown(text) + end


def _in_code(text: Any) -> str:
    """A text as a Markdown code span, whatever backticks it holds."""
    flat = " ".join(str(text).split())
    fence = "`" * (max(map(len, re.findall("`+", flat)), default=0) + 1)
    space = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{space}{flat}{space}{fence}"


def _in_python(text: Any) -> str:
    """A text as a Python string in double quotes, of ASCII and without backticks, so that it ends no fenced block."""
    escaped = str(text).encode("unicode_escape", "backslashreplace").decode("ascii")
    return '"' + escaped.replace('"', '\\"').replace("`", "\\x60") + '"'


def _in_fence(text: str) -> str:
    """A text inside a fenced block, which a line of its own backticks would end."""
    return re.sub(r"`(?=``)|(?<=`)`", "'", text)
