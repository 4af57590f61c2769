"""`hf-privacy compare` of language models: defences trained, attacked and set against perplexity; and gone on with."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml
from tiny_tokenizers import byte_level, saved_language_model

from hf_privacy.cli import main
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.hub import load_report_dict

WORDS = ["river", "stone", "window", "copper", "garden", "thunder", "paper", "orchard"]
SEEDS = (0, 1)
DEFENSES = {
    "none": {},
    "confidence_penalty": {"training": {"beta": 0.5}},
}


def changes(**sections) -> dict:
    return {
        "recipe": {
            "task": "causal-lm",
            "data": {"prompt_column": "question", "completion_column": "answer", "group_column": "owner",
                     "near_repeats": False, "max_length": 48, "population_fraction": 0.2},
            "training": {"num_train_epochs": 1, "per_device_train_batch_size": 8, "learning_rate": 0.02,
                         "use_cpu": True},
            "audit": {"references": 2, "fprs": [0.1], "extraction": {"suffix_tokens": 4}, "stack": 1},
            **sections,
        },
        "seeds": list(SEEDS), "fpr": 0.1, "attacks": ["lira", "loss"], "defenses": DEFENSES,
    }  # fmt: skip


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> tuple[str, Path, list[tuple[str, str]]]:
    """A finished comparison: its YAML, its folder, and the trainer's class and defence of every training."""
    folder = tmp_path_factory.mktemp("compared_language")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
             "num_key_value_heads": 1, "max_position_embeddings": 64}  # fmt: skip
    base = saved_language_model(folder / "base", byte_level(), "llama", **sizes)
    draw = random.Random(0)
    rows = [
        {"question": f"who is {draw.choice(WORDS)}?", "answer": " ".join(draw.choices(WORDS, k=2)), "owner": n // 2}
        for n in range(60)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = changes(model={"name_or_path": str(base), "lora": {"r": 2, "lora_alpha": 4}})
    plan["recipe"]["data"] |= {"name_or_path": str(folder / "rows.jsonl"), "dataset_id": "made/up"}
    path = folder / "comparison.yaml"
    path.write_text(yaml.safe_dump({**plan, "output_dir": str(folder / "out")}, sort_keys=False))
    trained = []
    with pytest.MonkeyPatch.context() as patch:
        train = PrivacyTrainer.train

        def noted(self, *args, **kwargs):
            trained.append((type(self).__name__, self.describe_defense()["name"]))
            return train(self, *args, **kwargs)

        patch.setattr(PrivacyTrainer, "train", noted)
        assert main(["compare", "--config", str(path), "--workers", "1"]) == 0
    return str(path), folder / "out", trained


def test_every_reference_of_a_defence_is_trained_under_it(compared):
    _, folder, trained = compared
    assert trained.count(("ConfidencePenaltyTrainer", "confidence_penalty")) == len(SEEDS) + 2
    assert trained.count(("PrivacyTrainer", "none")) == len(SEEDS) + 2
    assert len(trained) == 2 * (len(SEEDS) + 2)
    for name in DEFENSES:
        hashes = {load_report_dict(folder / name / f"seed_{seed}")["references"]["recipe_hash"] for seed in SEEDS}
        assert len(hashes) == 1


def test_files_and_rows_are_there_with_perplexity_and_extraction(compared):
    _, folder, _ = compared
    table = json.loads((folder / "comparison.json").read_text())
    assert [row["name"] for row in table["rows"]] == list(DEFENSES)
    assert (table["worth"], table["split"]["unit"]) == ("perplexity", "owner")
    for row in table["rows"]:
        reports = [load_report_dict(folder / row["name"] / f"seed_{seed}") for seed in SEEDS]
        assert row["perplexity"]["values"] == [r["utility"]["nonmember_perplexity"]["value"] for r in reports]
        assert row["perplexity"]["mean"] > 1
        assert row["extraction"]["members"]["values"] == [
            report["extraction"]["greedy"]["members"]["rate"] for report in reports
        ]
        assert len(row["attacks"]["lira"]["audits"]) == len(SEEDS)
        assert row["attacks"]["lira"]["by_group"]["mean"] <= 1
    text = (folder / "comparison.md").read_text()
    assert "| Defence" in text
    assert str(folder) not in text
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_only_the_defended_are_read_from_both_sides_and_their_report_says_so(compared):
    _, folder, _ = compared
    rows = {row["name"]: row for row in json.loads((folder / "comparison.json").read_text())["rows"]}
    assert {name: "two_sided" in row["attacks"]["lira"] for name, row in rows.items()} == {
        "none": False, "confidence_penalty": True,
    }  # fmt: skip
    report = load_report_dict(folder / "confidence_penalty" / "seed_0")
    assert all(attack["two_sided"]["auc"] == pytest.approx(max(attack["auc"], 1 - attack["auc"]))
               for attack in report["attacks"])  # fmt: skip
    page = (folder / "confidence_penalty" / "seed_0" / "privacy_report.html").read_text()
    assert "The reference models were trained under the same defence." in page
    assert "both sides" not in (folder / "none" / "seed_0" / "privacy_report.html").read_text()


def test_what_is_done_is_not_done_again_and_what_is_lost_is(compared, capsys):
    path, folder, trained = compared
    table = (folder / "comparison.json").read_bytes()
    models = {file: file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")}
    assert main(["compare", "--config", path, "--workers", "1"]) == 0
    assert (folder / "comparison.json").read_bytes() == table
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")} == models
    # Killed between its training and the end of its audit: that audit alone is made again.
    (folder / "none" / "seed_1" / "private" / "compared.json").unlink()
    before = len(trained)
    assert main(["compare", "--config", path, "--workers", "1"]) == 0
    assert len(trained) == before
    assert "none, seed 1:" in capsys.readouterr().out
    assert json.loads((folder / "comparison.json").read_text())["rows"] == json.loads(table)["rows"]
