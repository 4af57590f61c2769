"""Commands in this process, in forked children, and the data they run on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import yaml

from hf_privacy.cli import main

ROOT = Path(__file__).parents[2]

datasets.disable_progress_bars()  # what main() asks for by a variable that is read before this


def table(n_rows: int = 120, seed: int = 0) -> datasets.Dataset:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n_rows, 6)).round(4).tolist()
    return datasets.Dataset.from_dict({"features": features, "label": rng.integers(3, size=n_rows).tolist()})


@pytest.fixture(scope="session")
def table_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("data") / "table.parquet"
    table().to_parquet(str(path))
    return str(path)


@pytest.fixture(scope="session")
def write_recipe(table_file) -> Callable[..., str]:
    """``write_recipe(folder, training={...})`` writes recipe.yaml there, with output_dir beside it; its path."""

    def write(folder: Path, **sections: Any) -> str:
        recipe = {
            "task": "tabular-classification",
            "name": "tiny",
            "output_dir": str(folder / "run"),
            "model": {
                "name_or_path": "hf_privacy_tabular_mlp",
                "from_scratch": True,
                "kwargs": {"hidden_sizes": [32]},
            },
            "data": {"name_or_path": table_file, "input_column": "features", "population_fraction": 0.1},
            "training": {
                "num_train_epochs": 20,
                "per_device_train_batch_size": 20,
                "learning_rate": 0.02,
                "use_cpu": True,
            },
            "audit": {"references": 4},
        }
        for name, values in sections.items():
            recipe[name] = {**recipe[name], **values} if isinstance(recipe.get(name), dict) else values
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        return str(folder / "recipe.yaml")

    return write


@pytest.fixture(scope="session", autouse=True)
def _one_core() -> Iterator[None]:
    """An audit in this process starts no workers and keeps to one thread; afterwards threads are as they were."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def cli(capsys) -> Callable[..., tuple[int, str, str]]:
    """``cli("train", "--config", path)`` gives exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        return code, *capsys.readouterr()

    return run


@dataclass
class Running:
    """A command in a process of its own."""

    pid: int
    folder: Path
    ask: Callable[[dict], int]

    def kill(self) -> None:
        """Kill this process, and it alone, with no chance to clean up."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Exit status, negative for a signal."""
        return self.ask({"wait": self.pid})

    @property
    def is_running(self) -> bool:
        return is_running(self.pid)

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout.txt").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr.txt").read_text()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Preloaded:
    """A process with everything imported (see preloaded.py) that starts commands."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("preloaded.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        assert self.process.stdout.readline() == "ready\n"

    def _ask(self, request: dict) -> int:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def start(self, *arguments: str, folder: Path, environment: dict[str, str] | None = None) -> Running:
        folder.mkdir(parents=True, exist_ok=True)
        request = {"arguments": arguments, "environment": environment or {}, "folder": str(folder)}
        return Running(self._ask(request), folder, self._ask)

    def run(self, *arguments: str, folder: Path, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
        running = self.start(*arguments, folder=folder, environment=environment)
        return running.wait(), running.stdout, running.stderr

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Preloaded]:
    server = Preloaded({**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    yield server
    server.close()


@pytest.fixture(scope="session")
def trained(write_recipe, tmp_path_factory) -> Path:
    """The folder of a trained model that nobody has audited: copy it before writing to it."""
    folder = tmp_path_factory.mktemp("trained")
    assert main(["train", "--config", write_recipe(folder)]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def audited(trained, tmp_path_factory) -> Path:
    """The folder of a trained and fully audited model: copy it before writing to it."""
    import shutil

    folder = tmp_path_factory.mktemp("audited") / "run"
    shutil.copytree(trained, folder)
    assert main(["audit", "--folder", str(folder)]) == 0
    return folder


@pytest.fixture
def own_copy(tmp_path) -> Callable[[Path], Path]:
    """A copy of a model's folder that the test may write to."""
    import shutil

    def copy(folder: Path, name: str = "run") -> Path:
        return Path(shutil.copytree(folder, tmp_path / name))

    return copy
