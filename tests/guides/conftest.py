"""What the guides presuppose: data and models of others, made small; and one trained and audited run for them all."""

from __future__ import annotations

import csv
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from guides.pages import SMALL_DIGITS

from hf_privacy.cli import main

datasets.disable_progress_bars()  # what main() asks for by a variable that is read before this


@pytest.fixture(scope="session", autouse=True)
def _one_core() -> Iterator[None]:
    """An audit in this process starts no workers and keeps to one thread; afterwards threads are as they were."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory) -> Path:
    """``runs/first`` of the guides: trained and audited, small; copy it."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train = ["train", "--data", "digits", "--output_dir", "runs/first", *SMALL_DIGITS]
        assert main(train) == 0
        assert main(["audit", "--folder", "runs/first"]) == 0
    return folder / "runs"


@pytest.fixture
def with_first_run(first_run, tmp_path) -> Path:
    """An empty folder with ``runs/first`` in it."""
    shutil.copytree(first_run, tmp_path / "runs")
    return tmp_path


@pytest.fixture
def with_people(tmp_path) -> Path:
    """A folder with ``people.csv`` (12 persons, half of them trained on) and a language model ``base``."""
    from tiny_tokenizers import CORPUS, byte_level, saved_language_model

    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}
    saved_language_model(tmp_path / "base", byte_level(), "gpt2", **sizes)
    words, draw = sorted({word for line in CORPUS for word in line.split()}), random.Random(0)
    rows = [
        [f"p{person}", " ".join(draw.choices(words, k=3)), " ".join(draw.choices(words, k=4)), person % 2 == 1]
        for person in range(1, 13)
        for _ in range(3)
    ]
    _write_csv(tmp_path / "people.csv", ["person", "question", "answer", "used"], rows)
    return tmp_path


@pytest.fixture
def with_others(tmp_path) -> Path:
    """A folder with a model ``theirs`` of a table of numbers, its members and others in files, and its scores."""
    from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification

    torch.manual_seed(0)
    classes = ["cat", "dog", "owl"]
    config = TabularMLPConfig(
        input_size=4, hidden_sizes=[8], num_labels=3, id2label=dict(enumerate(classes)),
        label2id={name: number for number, name in enumerate(classes)},
    )  # fmt: skip
    model = TabularMLPForClassification(config).eval()
    model.save_pretrained(tmp_path / "theirs")
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 4)).round(3)
    labels = rng.integers(3, size=80)
    with torch.no_grad():
        shares = model(features=torch.tensor(features, dtype=torch.float32)).logits.softmax(dim=1).numpy()
    rows = [[*row, classes[label]] for row, label in zip(features.tolist(), labels, strict=True)]
    header = ["a", "b", "c", "d", "kind"]
    _write_csv(tmp_path / "members.csv", header, rows[:40])
    _write_csv(tmp_path / "others.csv", header, rows[40:])
    _write_csv(tmp_path / "rows.csv", [*header, "seen"], [[*row, number < 40] for number, row in enumerate(rows)])
    scores = [[*shares[number].round(6), row[-1], number < 40] for number, row in enumerate(rows)]
    _write_csv(tmp_path / "scores.csv", [*(f"probability_{name}" for name in classes), "label", "member"], scores)
    return tmp_path


def _write_csv(path: Path, header: list[str], rows: list[list]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
