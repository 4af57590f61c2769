"""Pages that show commands with what these printed: run from the built wheel alone, in an empty folder.

    python tests/guides/transcript.py recipes/guides/transcript_engineer.md …

writes what the commands print now into the pages. Files are the blocks that begin with ``# name.ext``; a ``console``
block holds one command, ``$ hf-privacy …`` or ``$ python file.py``, and beneath it what was printed; ``# exits 3``
behind a command says how it ends. The Hub is the tests' own server, whose address is written as `ADDRESS`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "recipes" / "guides").glob("transcript_*.md"))
ADDRESS = "http://127.0.0.1:8000"
_CONSOLE = re.compile(r"^```console\n\$ (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_FILE = re.compile(r"^```\w+\n# ([\w./-]+\.\w+)\n((?:.*\n)*?)```$", re.MULTILINE)
_EXITS = re.compile(r"\s+# exits (\d+)$")


@dataclass(frozen=True)
class Shown:
    """A command of a page: its words, how it ends, what the page says it printed."""

    words: tuple[str, ...]
    exits: int
    output: str


class Transcript:
    """A page of files and of commands with their output."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.files = [(name, text) for name, text in _FILE.findall(self.text)]
        self.commands = [_shown(line, output) for line, output in _CONSOLE.findall(self.text)]

    def write_files(self, folder: Path) -> None:
        """Write the page's files."""
        for name, text in self.files:
            (folder / name).write_text(text, encoding="utf-8")

    def with_outputs(self, outputs: list[str]) -> str:
        """The page with what its commands printed now."""
        left = iter(outputs)
        return _CONSOLE.sub(lambda found: f"```console\n$ {found[1]}\n{next(left)}```", self.text)


def _shown(line: str, output: str) -> Shown:
    exits = _EXITS.search(line)
    return Shown(tuple(shlex.split(line, comments=True)), int(exits[1]) if exits else 0, output)


def unpacked_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout and unpack it, as an installer would, into a folder for ``PYTHONPATH``."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder / "dist")],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "installed")
    return folder / "installed"


class Installed:
    """One process that has imported the package from the unpacked wheel, and forks a child for each command."""

    def __init__(self, wheel: Path, environment: dict[str, str]) -> None:
        self.wheel, self.address = wheel, environment["HF_ENDPOINT"]
        alone = {**environment, "PYTHONPATH": str(wheel), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "cli" / "preloaded.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**alone, "MPLBACKEND": "Agg"},
            cwd=wheel,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def _ask(self, request: dict) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def run(self, words: tuple[str, ...], folder: Path) -> tuple[int, str]:
        """Do one command in a folder; its exit status and what a terminal would have shown."""
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as output:
            request: dict = {"environment": {}, "folder": str(folder), "output": output.name}
            if words[0] == "python":
                request |= {"script": words[1], "arguments": []}
            else:
                assert words[0] == "hf-privacy", words
                request["arguments"] = list(words[1:])
            status = self._ask({"wait": self._ask(request)})
            return status, output.read().replace(self.address, ADDRESS)

    def run_all(self, page: Transcript, folder: Path) -> Iterator[tuple[Shown, int, str]]:
        """Write a page's files into an empty folder and do its commands there, in order."""
        page.write_files(folder)
        for command in page.commands:
            yield command, *self.run(command.words, folder)

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=30)


@contextmanager
def installed(folder: Path, environment: dict[str, str]) -> Iterator[Installed]:
    """Build, unpack, import; close on the way out."""
    process = Installed(unpacked_wheel(folder), environment)
    try:
        yield process
    finally:
        process.close()


def main() -> None:
    """Write the outputs of the pages that are named anew."""
    sys.path.insert(0, str(ROOT / "tests"))
    from local_hub import running_hub

    with (
        tempfile.TemporaryDirectory() as scratch,
        running_hub(Path(scratch, "hub")) as hub,
        installed(Path(scratch), {**os.environ, **hub.env}) as package,
    ):
        for number, name in enumerate(sys.argv[1:]):
            page, folder = Transcript(Path(name)), Path(scratch, f"empty_{number}")
            folder.mkdir()
            outputs = []
            for command, status, output in package.run_all(page, folder):
                if status != command.exits:
                    raise SystemExit(f"{shlex.join(command.words)} ended with {status}:\n{output}")
                outputs.append(output)
            page.path.write_text(page.with_outputs(outputs), encoding="utf-8")


if __name__ == "__main__":
    main()
