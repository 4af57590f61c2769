"""Images are trained and audited on without ever lying in memory as a whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from small_training import RESNET

from hf_privacy.cli import main
from hf_privacy.data import TensorDataset
from hf_privacy.data.stored_columns import LevelRows

MOST_ROWS = 1024  # the largest batch there is, of the blind baseline


@pytest.fixture
def recipe_file(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("HF_PRIVACY_CACHE", str(tmp_path / "cache"))
    recipe = {
        "task": "image-classification",
        "output_dir": str(tmp_path / "run"),
        "model": RESNET,
        "data": {"name_or_path": "digits"},
        "training": {"max_steps": 2, "per_device_train_batch_size": 64, "use_cpu": True, "report_to": "none"},
        "audit": {"depth": "quick"},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_no_step_of_training_or_audit_asks_for_all_pixels(recipe_file, monkeypatch):
    asked: list[int] = []
    take, column = LevelRows.take, TensorDataset.column

    def counted(self, rows, *arguments):
        asked.append(len(rows))
        return take(self, rows, *arguments)

    def small(self, name):
        assert name != "pixel_values" or len(self) <= MOST_ROWS, f"{len(self)} rows of pixels at once"
        return column(self, name)

    monkeypatch.setattr(LevelRows, "take", counted)
    monkeypatch.setattr(TensorDataset, "column", small)
    # The digits are small: so is the piece that a digest reads.
    monkeypatch.setattr("hf_privacy.data.tensors._PIECE", MOST_ROWS * 8 * 8 * 4)
    assert main(["train", "--config", str(recipe_file)]) == 0
    assert main(["audit", "--config", str(recipe_file)]) == 0
    assert 64 in asked
    assert max(asked) <= MOST_ROWS
    assert np.sum(asked) > 1797  # all were seen
    folder = recipe_file.parent / "run"
    for file in folder.rglob("*"):
        if file.suffix in (".json", ".md", ".html", ".yaml"):
            assert str(recipe_file.parent / "cache") not in file.read_text(), file.name
