"""A page of Markdown: its files are written, its commands run where they can be, and are checked where they cannot.

Files are the blocks of YAML, Python, CSV and JSON lines whose name is said: in their first line, ``# name.ext``, or,
where a block cannot hold a remark, as the last code before it: "`name.jsonl`:". Commands are the lines of ``bash``
blocks; a backslash goes on, a line that begins with # is a remark. A command that cannot run without a network ends
with ``# not run here: why``, which readers see: it is parsed, and its keys are checked; a push is run as a dry one.
One that ends with ``# refused`` must be.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hf_privacy.cli import main
from hf_privacy.cli.arguments import Options, parse

GUIDES = Path(__file__).parents[2] / "recipes" / "guides"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"^# ([\w./-]+\.\w+)\n")
_NAMED_BEFORE = re.compile(r"`([\w./-]+\.\w+)`[^`\n]*:\s*\Z")
_NOT_RUN = re.compile(r"\s+# not run here: (.+)$")
_REFUSED = re.compile(r"\s+# refused$")
FILES = ("yaml", "python", "csv", "json", "jsonl")
# Words that make a command small; a page's own command is what a reader gives.
SMALL = ("--training.num_train_epochs", "1", "--training.use_cpu", "true")
SMALL_DIGITS = (*SMALL, "--data.max_examples", "160", "--audit.references", "2", "--audit.queries", "[identity]")


@dataclass(frozen=True)
class Command:
    """One command of a page, without its program."""

    words: tuple[str, ...]
    is_refused: bool = False
    not_run: str = ""


class Page:
    """What a page of Markdown tells its reader to write and to run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.files: list[tuple[str, str]] = []
        self.commands: list[Command] = []
        for match in _BLOCK.finditer(self.text):
            language, block = match[1], match[2]
            if language == "bash":
                self.commands += [_command(line) for line in _lines(block)]
            elif language in FILES:
                named = _NAMED.match(block) or _NAMED_BEFORE.search(self.text[: match.start()])
                if named:
                    self.files.append((named[1], block))

    def write_files(self, folder: Path) -> None:
        """Write its files; what is named twice is one file, in the order of the page."""
        for name, text in self.files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("a", encoding="utf-8") as file:
                file.write(text)

    def run(self, folder: Path, less: Mapping[str, Sequence[str]]) -> list[str]:
        """Write its files into ``folder`` and do its commands there, in order, in this process.

        Parameters
        ----------
        folder : path
        less : mapping of str to sequence of str
            Words added to each command of a name, so that it is small. Nothing is taken away.

        Returns
        -------
        list of str
            What each command printed: on standard output, or why it was refused.
        """
        self.write_files(folder)
        before, shown = Path.cwd(), []
        os.chdir(folder)
        try:
            for command in self.commands:
                shown.append(_done(command, less.get(command.words[0], ())))
        finally:
            os.chdir(before)
        return shown


def guides_with_commands() -> list[Path]:
    """The pages of the guides that have ``bash`` blocks."""
    return sorted(path for path in GUIDES.glob("*.md") if "```bash\n" in path.read_text(encoding="utf-8"))


def _lines(block: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", "", block)
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def _command(line: str) -> Command:
    not_run = _NOT_RUN.search(line)
    words = tuple(shlex.split(line, comments=True))
    if words[:1] != ("hf-privacy",):
        raise AssertionError(f"{line!r} is no command of ours: only those are run, and nothing is skipped")
    return Command(words[1:], _REFUSED.search(line) is not None, not_run[1] if not_run else "")


def _done(command: Command, less: Sequence[str]) -> str:
    if command.not_run and command.words[0] != "push":
        check(command.words)
        return ""
    dry = ["--dry-run"] if command.not_run and "--dry-run" not in command.words else []
    shown, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(errors):
        code = main([*command.words, *less, *dry])
    assert (code in (2, 3)) if command.is_refused else (code == 0), (
        f"hf-privacy {shlex.join(command.words)}: {code}\n{errors.getvalue()}"
    )
    return errors.getvalue() if command.is_refused else shown.getvalue()


def check(words: Sequence[str]) -> Options:
    """Parse a command as it is parsed, and refuse keys that no recipe has, without running it."""
    from hf_privacy.recipe.keys import key_named, section_keys

    _, options = parse(list(words))
    method = options.overrides.get("defense", "none")
    own = {key.name for key in section_keys(method)}
    for key in options.overrides:
        if key not in own:
            key_named(key)
    return options
