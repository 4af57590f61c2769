"""What Sphinx is told about this package: its docstrings name things in single backticks, and equations are MathML."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from generated import documented_names

MOST_ARGUMENTS = 12  # a config has all those of transformers.TrainingArguments too: its own are shown
_PIECES = re.compile(r"(``.+?``|:[\w:]+:`[^`]+`)|`([^`\n]+)`(?!_)|(?<!\\)\|")


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    app.connect("autodoc-process-docstring", _mend, priority=900)  # after numpydoc's sections have been read
    app.connect("autodoc-process-signature", _shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.Element) -> None:
    drawn = tex2mathml(node.astext(), as_block=True)
    # The theme scrolls what is too wide; the space keeps what is high from being cut by that.
    translator.body.append(f'<div class="equation" style="padding: 0.5em 0">{drawn}</div>\n')
    raise nodes.SkipNode


def _mend(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Single backticks name something of ours, or are code; a bar is a bar, not the sign of a substitution."""
    known = _known()
    room = ".".join(name.split(".")[:2])
    in_code = False
    for number, line in enumerate(lines):
        if re.match(r"\s*>>>", line):
            in_code = True
        elif not line.strip():
            in_code = False
        if not in_code:
            lines[number] = _PIECES.sub(lambda match: _piece(match, known, room), line)


def _piece(match: re.Match, known: dict[str, list[str]], room: str) -> str:
    if match[1]:
        return match[1]
    if match[2] is None:
        return r"\|"
    text = match[2]
    head, _, rest = text.removeprefix("hf_privacy.").rpartition(".")
    candidates = known.get(rest, [])
    if head:
        candidates = [full for full in candidates if full.endswith(f"{head}.{rest}")]
    here = [full for full in candidates if full.startswith(f"{room}.")]
    found = (here or candidates)[:1]
    return f":py:obj:`{text} <{found[0]}>`" if found else f"``{text}``"


def _known() -> dict[str, list[str]]:
    """Full names by their last part."""
    found: dict[str, list[str]] = {}
    for full in documented_names().values():
        found.setdefault(full.rpartition(".")[2], []).append(full)
    return found


def _shorten(
    app: Any, what: str, name: str, obj: Any, options: object, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """Of a config with very many fields those that its own class adds."""
    if what != "class" or not is_dataclass(obj) or len(fields(obj)) <= MOST_ARGUMENTS:
        return None
    defaults = inspect.signature(obj).parameters
    own = [str(defaults[key].replace(annotation=inspect.Parameter.empty)) for key in inspect.get_annotations(obj)
           if key in defaults]  # fmt: skip
    return f"({', '.join([*own, '**others'])})", returns
