"""A language model's adapter under differential privacy, from a recipe to one report: ε from above and from below."""

from __future__ import annotations

import json
import random

import pytest
import torch
import yaml
from tiny_tokenizers import byte_level
from transformers import LlamaConfig, LlamaForCausalLM

from hf_privacy.hub import load_report_dict

pytest.importorskip("opacus")
WORDS = ("who", "what", "said", "cat", "house", "green", "walks", "never", "seven", "alone")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder, tokenizer = tmp_path_factory.mktemp("base"), byte_level()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=96, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    draw = random.Random(0)
    rows = [
        {"question": " ".join(draw.choices(WORDS, k=3)), "answer": " ".join(draw.choices(WORDS, k=5)), "owner": n // 2}
        for n in range(64)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def write(base, tmp_path):
    def recipe(**training):
        made = {
            "task": "causal-lm",
            "output_dir": str(tmp_path / "run"),
            "model": {"name_or_path": str(base), "lora": {"r": 4}},
            "data": {
                "name_or_path": str(base / "rows.jsonl"), "prompt_column": "question", "completion_column": "answer",
                "group_column": "owner", "near_repeats": False, "max_length": 64, "population_fraction": 0.25,
            },
            "training": {
                "num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 0.01, "use_cpu": True,
                "target_epsilon": 8.0, "accountant": "rdp", **training,
            },
            "defense": "dp",
            "audit": {"depth": "quick", "blind_baseline": False, "canaries": {"n": 10, "exposure_references": 40}},
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(made))
        return str(tmp_path / "recipe.yaml")

    return recipe


@pytest.mark.slow
@pytest.mark.parametrize(
    ("unit", "more"), [("row", {}), ("group", {"max_rows_per_group": 1, "larger_groups": "draw"})], ids=str
)
def test_a_report_has_epsilon_from_above_and_from_below_and_names_its_unit(unit, more, write, cli, tmp_path):
    config = write(privacy_unit=unit, **more)
    for command in ("train", "audit"):
        code, shown, errors = cli(command, "--config", config)
        assert code == 0, errors
    folder = tmp_path / "run"
    report = load_report_dict(folder)
    upper, lower = report["epsilon"]["upper"], report["epsilon"]["lower"]
    assert upper["unit"] == unit
    assert 0 < upper["epsilon"] <= 8.0
    # δ is a tenth of one over the members, 24 rows or 12 of 32 groups.
    assert upper["delta"] == pytest.approx(0.1 / report["split"]["n_members"] * (1 if unit == "row" else 2))
    assert lower["epsilon"] <= upper["epsilon"]
    assert report["defense"]["parameters"]["privacy_unit"] == unit
    assert "Canaries (10 random_tokens" in shown
    said = f"for each {'group of training examples' if unit == 'group' else 'training example'} (RDP, Poisson"
    assert said in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"privacy_unit": "group", "max_rows_per_group": 1},
            "groups have more rows than max_rows_per_group, 1 (up to",
        ),
        ({"privacy_unit": "author"}, "privacy_unit is 'author': pass 'row' or 'group'"),
        ({"max_rows_per_group": 2}, "max_rows_per_group is 2 and privacy_unit is 'row'"),
        ({"privacy_unit": "group", "per_sample_gradients": "ghost"}, "which clips rows, and privacy_unit is 'group'"),
    ],
    ids=str,
)
def test_what_no_guarantee_holds_for_is_one_sentence_before_training(given, message, write, cli, tmp_path):
    code, shown, errors = cli("train", "--config", write(**given))
    assert (code, shown) == (2, "")
    sentence = errors[errors.index("hf-privacy: ") :]  # behind the bar of a model that is loaded
    assert message in sentence
    assert len(sentence.splitlines()) == 1
    assert not (tmp_path / "run" / "adapter_model.safetensors").exists()
