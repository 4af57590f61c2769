"""A decoder fine-tuned from a recipe: what train prints is what an audit of its folder finds, at any batch size."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from hf_privacy.auditing import audit
from hf_privacy.auditing.target import train_target
from hf_privacy.models import load_saved_model
from hf_privacy.recipe import Recipe, RunFolder, prepare
from hf_privacy.signals import compute_signals

WORDS = ["[UNK]", "<end>", *"abcdefghijklmnop"]


@pytest.fixture
def recipe_of(tmp_path):
    """A recipe on a base whose configuration and tokenizer name no pad token, and whose tokenizer pads on the left."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "gpt2", vocab_size=len(WORDS), n_embd=16, n_layer=1, n_head=2, n_positions=32, num_labels=2, pad_token_id=None,
        bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "base")
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", eos_token="<end>", padding_side="left"
    ).save_pretrained(tmp_path / "base")
    generator = np.random.default_rng(0)
    with (tmp_path / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row in range(60):
            writer.writerow([" ".join(generator.choice(WORDS[2:], generator.integers(1, 20))), row % 2])

    def recipe(lora):
        return Recipe.from_dict(
            {
                "task": "text-classification",
                "output_dir": str(tmp_path / "run"),
                "model": {"name_or_path": str(tmp_path / "base"), "lora": lora},
                "data": {"name_or_path": str(tmp_path / "data.csv"), "input_column": "text", "near_repeats": False},
                "training": {
                    "num_train_epochs": 15, "per_device_train_batch_size": 8, "learning_rate": 0.03, "use_cpu": True,
                    "report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True,
                },
            }
        )  # fmt: skip

    return recipe


@pytest.mark.parametrize("lora", [None, {"r": 4, "target_modules": ["c_attn"]}], ids=["full", "adapter"])
def test_an_audit_of_the_folder_finds_the_same_at_any_batch_size_and_what_train_prints(tmp_path, recipe_of, lora):
    recipe = recipe_of(lora)
    with pytest.warns(UserWarning, match="no pad token: '<end>' is taken, its end-of-text token"):
        experiment = prepare(recipe)
    assert experiment.processor.padding_side == "right"
    folder = RunFolder(Path(recipe.output_dir))
    trainer = experiment.trainer()
    record = train_target(experiment, trainer, folder)
    in_memory = compute_signals(trainer.model, experiment.dataset)["phi"][0]
    reloaded = load_saved_model(folder.path)
    for batch_size in (1, 7, 60):
        found = compute_signals(reloaded, experiment.dataset, batch_size=batch_size)["phi"][0]
        np.testing.assert_allclose(found, in_memory, rtol=1e-4, atol=1e-4)
    figures = []
    for batch_size in (1, 60):
        output = tmp_path / f"audit-{batch_size}"
        audit(folder.path, experiment.dataset, experiment.split, output_dir=output, batch_size=batch_size,
              depth="quick", show_progress=False)  # fmt: skip
        figures.append(json.loads((output / "privacy_report.json").read_text()))
    for one, all_at_once in zip(*(report["attacks"] for report in figures), strict=True):
        assert one["auc"] == pytest.approx(all_at_once["auc"], abs=2e-3)
    utility = figures[0]["utility"]
    assert record["member_accuracy"] == pytest.approx(utility["member_accuracy"]["value"])
    assert record["nonmember_accuracy"] == pytest.approx(utility["nonmember_accuracy"]["value"])
