"""A defence, an unlearner, an attack and an examination of one's own go where ours go: workers and report too."""

from __future__ import annotations

import hashlib
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

from hf_privacy import InputError, PrivacyConfig, PrivacyTrainer, UnlearningConfig, UnlearningTrainer


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


@dataclass
class SunkConfig(UnlearningConfig):
    depth: float = 0.5
    note: str | None = None


class SunkTrainer(UnlearningTrainer):
    """Towards even predictions on what is to be forgotten."""

    config_class = SunkConfig
    uses = ("forget",)

    def unlearning_loss(self, model, forget, retain):
        return self.args.depth * self.logits_of(model, forget).square().mean()


def gain(table):
    """How much better the target knows an example than the average reference does."""
    return table.reference_pool("loss").mean(axis=0) - table.pool("loss")


gain.title, gain.needs_references = "Gain over the references", True


class Loudest:
    """The accuracy on the members with the highest loss."""

    name = "loudest_members"

    def check(self, case):
        if len(case.split.members) < 10:
            raise InputError("loudest_members needs 10 members")

    def run(self, case):
        members = case.table.membership
        loudest = case.table.pool("loss")[members] > case.table.pool("loss").mean()
        return {"accuracy": float(case.table.pool("correct")[members][loudest].mean()), "n": int(loudest.sum())}
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
    training = {"weight": 0.3, "num_train_epochs": 4}
    audit = {"extra_attacks": ["own_methods:gain"], "examinations": ["own_methods:Loudest"]}
    config = write_recipe(own, defense="own_methods:SquaredTrainer", training=training, audit=audit)
    assert main(["train", "--config", config]) == 0
    seen = own / "seen"
    seen.mkdir()
    monkeypatch.setenv("OWN_METHODS_SEEN", str(seen))
    assert main(["audit", "--config", config, "--audit.workers", "2"]) == 0
    assert len(list(seen.iterdir())) == 2
    assert str(os.getpid()) in {path.name for path in seen.iterdir()}
    report = load_report_dict(own / "run")
    defense = report["defense"]
    assert defense == {"name": "SquaredTrainer", "parameters": {"weight": 0.3}, "paper": None}
    assert "SquaredTrainer" in (own / "run" / "README.md").read_text()
    (attack,) = (attack for attack in report["attacks"] if attack["name"] == "own_methods:gain")
    assert attack["title"] == "Gain over the references"
    assert attack["n_references"] == report["references"]["n_models"]
    assert attack["parameters"] == {"source_sha256": hashlib.sha256((own / "own_methods.py").read_bytes()).hexdigest()}
    assert "own_methods:gain" in {entry["attack"] for entry in report["evidence"]["attacks"]}
    assert "own_methods:gain" in report["curves"]
    found = report["outside"]["loudest_members"]
    assert 0 <= found["accuracy"] <= 1
    assert 0 < found["n"] < report["split"]["n_members"]
    page, card = next((own / "run").glob("*.html")).read_text(), (own / "run" / "README.md").read_text()
    for text in (page, card):
        assert "Gain over the references" in text
        assert "loudest_members" in text


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
        ({"audit": {"extra_attacks": ["own_methods:gian"]}}, "module 'own_methods' has no 'gian'"),
        ({"training": {"weight": "much"}}, "section 'training' key 'weight' is 'much': pass float"),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence_before_training(own, write_recipe, cli, change, message):
    config = write_recipe(own, **{"defense": "own_methods:SquaredTrainer", **change})
    code, _, error = cli("train", "--config", config)
    assert code == 2
    assert message in error


def test_an_unlearner_of_ones_own_unlearns_and_is_reported_and_its_source_counts(own, write_recipe, cli):
    section = {
        "method": "own_methods:SunkTrainer",
        "request": {"label": 1},
        "training": {"depth": 0.3},
        "relearning_steps": 0,
    }
    config = write_recipe(own, training={"num_train_epochs": 1}, unlearning=section)
    assert cli("train", "--config", config)[0] == 0
    assert cli("unlearn", "--config", config)[0] == 0
    section = load_report_dict(own / "run" / "unlearned" / "own_methods.SunkTrainer")["unlearning"]
    assert section["method"]["name"] == "SunkTrainer"
    assert section["method"]["parameters"].items() >= {"depth": 0.3, "note": None}.items()
    assert "holds the result of this request already" in cli("unlearn", "--config", config)[1]
    (own / "own_methods.py").write_text(OWN + "# another loss\n")
    code, _, error = cli("unlearn", "--config", config)
    assert code == 2
    assert "holds the result of another request or other arguments" in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "own_methods:Nobody"}, "unlearning.method is 'own_methods:Nobody', and module 'own_methods' has"),
        ({"method": "own_methods:SquaredTrainer"}, "which is no UnlearningTrainer: pass a class made of it"),
        ({"training": {"dpth": 0.3}}, "unknown key 'dpth' in section 'unlearning.training': did you mean 'depth'?"),
        ({"training": {"note": "/home/ada/notes"}}, "unlearning.training.note holds the absolute path"),
    ],
)
def test_what_is_wrong_with_an_own_unlearner_is_one_sentence_before_training(own, write_recipe, cli, change, message):
    section = {"method": "own_methods:SunkTrainer", "request": {"label": 1}, **change}
    code, _, error = cli("train", "--config", write_recipe(own, unlearning=section))
    assert code == 2
    assert message in error
    assert not (own / "run").exists()


def test_a_comparison_sets_it_beside_ours(own, write_recipe):
    write_recipe(own, training={"num_train_epochs": 4})
    comparison = {
        "recipe": "recipe.yaml",
        "output_dir": str(own / "out"),
        "seeds": [0, 1],
        "overrides": {"audit": {"references": 2, "fprs": [0.1]}},
        "workers": 1,
        "fpr": 0.1,
        "attacks": ["rmia", "own_methods:gain"],
        "defenses": {
            "none": {},
            "squared": {"defense": "own_methods:SquaredTrainer", "training": {"weight": 0.3}},
        },
    }
    (own / "comparison.yaml").write_text(yaml.safe_dump(comparison, sort_keys=False))
    assert main(["compare", "--config", str(own / "comparison.yaml")]) == 0
    rows = json.loads((own / "out" / "comparison.json").read_text())["rows"]
    assert all(row["attacks"]["own_methods:gain"]["title"] == "Gain over the references" for row in rows)
    assert "Gain over the references AUC" in (own / "out" / "comparison.md").read_text()
    assert [(row["name"], row["defense"]) for row in rows] == [
        ("none", "none"),
        ("squared", "SquaredTrainer"),
    ]
    for seed in (0, 1):
        defense = load_report_dict(own / "out" / "squared" / f"seed_{seed}")["defense"]
        assert defense == {"name": "SquaredTrainer", "parameters": {"weight": 0.3}, "paper": None}
