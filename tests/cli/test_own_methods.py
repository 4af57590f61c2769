"""A defence of one's own module goes where ours go: train, an audit by two processes, compare, and the report."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from hf_privacy.cli import main
from hf_privacy.hub import load_report_dict

OWN = '''
"""Methods of a user's own."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from hf_privacy import PrivacyConfig, PrivacyTrainer


@dataclass
class SquaredConfig(PrivacyConfig):
    weight: float = 0.1


class SquaredTrainer(PrivacyTrainer):
    """The cross-entropy and the mean square of the logits."""

    config_class = SquaredConfig

    def training_loss(self, model, inputs):
        loss, outputs = super().training_loss(model, inputs)
        return loss + self.args.weight * outputs["logits"].square().mean(), outputs

    def train(self, *args, **kwargs):
        seen = os.environ.get("OWN_METHODS_SEEN")
        if seen:  # trainings of an audit begin in two processes, or the first waits for the second
            Path(seen, str(os.getpid())).touch()
            for _ in range(600):
                if len(list(Path(seen).iterdir())) > 1:
                    break
                time.sleep(0.1)
        return super().train(*args, **kwargs)
'''


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A working folder with the module in it; the package's own imports stay as they are."""
    (tmp_path / "own_methods.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("own_methods", None)


@pytest.mark.slow
def test_a_defence_of_ones_own_is_trained_audited_by_two_processes_and_reported(own, write_recipe, monkeypatch):
    config = write_recipe(own, defense="own_methods:SquaredTrainer", training={"weight": 0.3, "num_train_epochs": 4})
    assert main(["train", "--config", config]) == 0
    seen = own / "seen"
    seen.mkdir()
    monkeypatch.setenv("OWN_METHODS_SEEN", str(seen))
    assert main(["audit", "--config", config, "--audit.workers", "2"]) == 0
    assert len(list(seen.iterdir())) == 2
    assert str(os.getpid()) in {path.name for path in seen.iterdir()}
    defense = load_report_dict(own / "run")["defense"]
    assert defense == {"name": "SquaredTrainer", "parameters": {"weight": 0.3}, "paper": None}
    assert "SquaredTrainer" in (own / "run" / "README.md").read_text()


def test_a_folder_of_an_own_defence_whose_source_has_changed_is_refused(own, write_recipe, cli):
    config = write_recipe(own, defense="own_methods:SquaredTrainer", training={"num_train_epochs": 1})
    assert cli("train", "--config", config)[0] == 0
    assert cli("train", "--config", config)[0] == 0
    (own / "own_methods.py").write_text(OWN + "# another loss\n")
    code, _, error = cli("train", "--config", config)
    assert code == 2
    assert "holds a run of own_methods:SquaredTrainer as it was before its source file changed" in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"defense": "own_methods:Nobody"}, "module 'own_methods' has no 'Nobody'"),
        ({"training": {"wieght": 0.3}}, "unknown key 'wieght' in section 'training': did you mean 'weight'?"),
        ({"training": {"weight": "much"}}, "section 'training' key 'weight' is 'much': pass float"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence_before_training(own, write_recipe, cli, change, message):
    config = write_recipe(own, **{"defense": "own_methods:SquaredTrainer", **change})
    code, _, error = cli("train", "--config", config)
    assert code == 2
    assert message in error


def test_a_comparison_sets_it_beside_ours(own, write_recipe):
    write_recipe(own, training={"num_train_epochs": 4})
    comparison = {
        "recipe": "recipe.yaml",
        "output_dir": str(own / "out"),
        "seeds": [0, 1],
        "overrides": {"audit": {"references": 2, "fprs": [0.1]}},
        "workers": 1,
        "fpr": 0.1,
        "attacks": ["rmia"],
        "defenses": {
            "none": {},
            "squared": {"defense": "own_methods:SquaredTrainer", "training": {"weight": 0.3}},
        },
    }
    (own / "comparison.yaml").write_text(yaml.safe_dump(comparison, sort_keys=False))
    assert main(["compare", "--config", str(own / "comparison.yaml")]) == 0
    rows = json.loads((own / "out" / "comparison.json").read_text())["rows"]
    assert [(row["name"], row["defense"]) for row in rows] == [
        ("none", "none"),
        ("squared", "SquaredTrainer"),
    ]
    for seed in (0, 1):
        defense = load_report_dict(own / "out" / "squared" / f"seed_{seed}")["defense"]
        assert defense == {"name": "SquaredTrainer", "parameters": {"weight": 0.3}, "paper": None}
