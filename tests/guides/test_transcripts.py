"""The transcripts are true: their commands, from the wheel alone and in an empty folder, print what the pages show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from guides.transcript import PAGES, ROOT, Installed, Shown, Transcript, installed
from local_hub import running_hub

# What these print hangs on no training.
EXACT = ("init", "keys", "python")
# Said every ten seconds or so, if it takes as long.
PROGRESS = {"reference models:", "training:"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture(scope="module")
def package(hub, tmp_path_factory):
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    with installed(tmp_path_factory.mktemp("wheel"), hub.env) as found:
        yield found


def labels(text: str) -> set[str]:
    """What begins a line and ends with a colon: what there is to read, whatever the figures."""
    return set(re.findall(r"^[A-Za-z][\w ,()-]{0,30}:(?= )", text, flags=re.MULTILINE)) - PROGRESS


def name_of(command: Shown) -> str:
    return command.words[0] if command.words[0] == "python" else command.words[1]


@pytest.fixture(scope="module")
def done(package: Installed, tmp_path_factory):
    """Give a function that runs a page once: the folder it ran in, and each command with its status and output."""
    kept: dict[Path, tuple[Path, list[tuple[Shown, int, str]]]] = {}

    def run(path: Path):
        if path not in kept:
            folder = tmp_path_factory.mktemp("empty")
            kept[path] = folder, list(package.run_all(Transcript(path), folder))
        return kept[path]

    return run


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_way_takes_ten_commands_at_most(path):
    assert 1 <= len(Transcript(path).commands) <= 10


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_commands_print_what_the_page_shows(path, done, package):
    folder, commands = done(path)
    assert commands
    for command, status, output in commands:
        assert status == command.exits, output
        if name_of(command) in EXACT:
            assert output == command.output
        assert labels(output) == labels(command.output), output
        for private in (str(folder), str(package.wheel), str(ROOT)):
            assert private not in output


@pytest.mark.slow
def test_it_is_the_wheel_that_ran(package, tmp_path):
    (tmp_path / "where.py").write_text("import hf_privacy\nprint(hf_privacy.__file__)\n")
    status, output = package.run(("python", "where.py"), tmp_path)
    assert status == 0
    assert Path(output.strip()).is_relative_to(package.wheel)


@pytest.mark.slow
def test_the_engineers_model_arrived_with_its_report(done, hub):
    done(ROOT / "recipes" / "guides" / "transcript_engineer.md")
    (commit,) = hub.commits("tester/tumours")
    assert {"model.safetensors", "privacy_report.json", "README.md"} <= set(commit["added"])
