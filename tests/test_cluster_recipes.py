"""The templates for clusters: what is in them parses, and each command is one of ours as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from hf_privacy.cli.arguments import parse

FOLDER = Path(__file__).parents[1] / "recipes" / "cluster"
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())


def commands(text: str) -> list[str]:
    """Every `hf-privacy …` in a file, to the end of its command; lines that a backslash joins are one."""
    joined = re.sub(r"\\\n(\s*#)?", " ", text)
    found = re.findall(r"(?:^|[\s`'(])hf-privacy ((?:[a-z]+) [^`\n|]*)", joined, re.MULTILINE)
    return [re.split(r"\s#\s|'\s+sh\s|`|:::", command)[0].strip() for command in found]


def test_every_template_has_a_command_of_ours():
    assert {"README.md", "hf_jobs.sh", "skypilot.yaml", "slurm.sbatch", "ssh.sh"} <= {path.name for path in FILES}
    for path in FILES:
        assert any("references run" in f"hf-privacy {command}" for command in commands(path.read_text())), path.name


@pytest.mark.parametrize(
    ("name", "command"),
    [(path.name, command) for path in FILES for command in commands(path.read_text()) if " --" in command],
)
def test_every_command_is_one_of_ours(name, command):
    _, options = parse(shlex.split(command.rstrip("'")))
    assert not any(key.startswith("-") for key in options.overrides)
    if command.startswith("references run"):
        assert options.flags["action"] == "run"
        assert options.flags["plan"]
        assert options.overrides == {}


@pytest.mark.parametrize("name", [path.name for path in FILES if path.suffix in (".sh", ".sbatch")])
def test_scripts_are_bash(name):
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    assert subprocess.run(["bash", "-n", FOLDER / name], capture_output=True, text=True, check=True).stderr == ""


def test_the_skypilot_file_is_yaml_that_runs_it():
    task = yaml.safe_load((FOLDER / "skypilot.yaml").read_text())
    assert task["num_nodes"] > 1
    assert '--world "$SKYPILOT_NUM_NODES"' in task["run"]
    assert task["envs"] == {"PLAN": None}


def test_the_machines_of_ssh_get_the_shares_of_one_plan(tmp_path):
    """The script with an ssh that writes down what it is asked."""
    if shutil.which("bash") is None or shutil.which("xargs") is None:
        pytest.skip("bash or xargs is not installed")
    for name in ("ssh", "hf-privacy"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/asked\n')
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PLAN": "/shared/run/plan.json"}
    subprocess.run(["bash", FOLDER / "ssh.sh", "machine-1", "machine-2"], env=environment, check=True, timeout=60)
    *asked, last = (tmp_path / "asked").read_text().splitlines()
    run = "hf-privacy references run --plan /shared/run/plan.json --rank"
    assert sorted(asked) == [f"ssh machine-1 {run} 0 --world 2", f"ssh machine-2 {run} 1 --world 2"]
    assert last == "hf-privacy references status --plan /shared/run/plan.json"
