"""From a table of words and numbers to a push, by the commands alone; and recipes of texts whose model is a folder."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest
from tiny_tokenizers import CORPUS, byte_level, saved_language_model
from transformers import AutoConfig, AutoModelForSequenceClassification

from hf_privacy.cli import main
from hf_privacy.recipe import Recipe, prepare

WORDS = sorted({word for line in CORPUS for word in line.split()})


def write_csv(path: Path, n_rows: int) -> Path:
    rng = random.Random(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "length", "mood"])
        for _ in range(n_rows):
            text = " ".join(rng.choices(WORDS, k=rng.randint(4, 9)))
            writer.writerow([text, rng.gauss(0, 1), rng.choice(["glad", "sad"])])
    return path


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Path:
    return write_csv(tmp_path_factory.mktemp("rows") / "moods.csv", 60)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory) -> Path:
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 48, "bos_token_id": 0, "eos_token_id": 0}
    return saved_language_model(tmp_path_factory.mktemp("gpt2"), byte_level(), "gpt2", **sizes)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    folder, tokenizer = tmp_path_factory.mktemp("bert"), byte_level()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = AutoConfig.for_model("bert", vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **sizes)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_from_a_table_to_a_push(rows, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    keys = ["--training.num_train_epochs", "1", "--training.use_cpu", "true", "--audit.references", "2"]
    task = ["--task", "tabular-classification"]
    assert main(["init", "--data", str(rows), "--label", "mood", *task, *keys, "--output", "r.yaml"]) == 0
    for command in ("train", "audit"):
        assert main([command, "--config", "r.yaml"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["push", "--config", "r.yaml", "--repo-id", "you/moods", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "privacy_report.json" in shown
    assert str(rows.parent) not in Path("runs/moods/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "given", [[], ["--defense", "relax_loss"], ["--model.lora", "{r: 2, target_modules: [query]}"]]
)
def test_texts_for_an_encoder(given, rows, encoder, tmp_path):
    target = tmp_path / "r.yaml"
    keys = ["--output_dir", str(tmp_path / "run"), "--training.use_cpu", "true", *given]
    assert (
        main(["init", "--data", str(rows), "--model", str(encoder), *keys, "--label", "mood", "--output", str(target)])
        == 0
    )
    recipe = Recipe.load(target)
    assert (recipe.task, recipe.data.input_column) == ("text-classification", "text")
    trainer = prepare(recipe, with_repeats=False).trainer()
    assert trainer.train_dataset.column("labels").max() == 1


@pytest.mark.parametrize("defense", ["none", "demem"])
def test_texts_for_a_language_model(defense, rows, language_model, tmp_path):
    target = tmp_path / "r.yaml"
    keys = ["--output_dir", str(tmp_path / "run"), "--training.use_cpu", "true", "--defense", defense]
    words = ["--data", str(rows), "--model", str(language_model), *keys, "--output", str(target)]
    assert main(["init", *words]) == 0
    recipe = Recipe.load(target)
    assert (recipe.task, recipe.data.input_column, recipe.model.lora) == (
        "causal-lm",
        "text",
        {"r": 8, "lora_alpha": 16},
    )
    prepare(recipe, with_repeats=False).trainer()


def test_a_model_that_does_not_go_with_the_task_is_refused(rows, encoder, tmp_path, capsys):
    words = ["--data", str(rows), "--model", str(encoder), "--task", "causal-lm", "--output", str(tmp_path / "r.yaml")]
    assert main(["init", *words]) == 2
    assert "the model is an encoder (bert)" in capsys.readouterr().err
    assert not (tmp_path / "r.yaml").exists()


def test_a_model_that_cannot_be_looked_at_is_named_so(rows, tmp_path, capsys):
    target = tmp_path / "r.yaml"
    words = ["--data", str(rows), "--label", "mood", "--model", "someone/model", "--output", str(target)]
    assert main(["init", *words]) == 0
    assert "model.name_or_path: not looked at" in capsys.readouterr().out
    assert Recipe.load(target).model.name_or_path == "someone/model"
