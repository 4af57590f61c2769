"""`hf-privacy audit --model --data`: a folder that something else trained, and rows that say who is a member."""

from __future__ import annotations

import json
import random

import pytest
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tiny_tokenizers import CORPUS, byte_level, saved_language_model
from transformers import AutoModelForCausalLM

from hf_privacy.cli import main

WORDS = sorted({word for line in CORPUS for word in line.split()})


def texts(n: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(4, 9))) for _ in range(n)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 48, "bos_token_id": 0, "eos_token_id": 0}
    return saved_language_model(tmp_path_factory.mktemp("base"), byte_level(), "gpt2", **sizes)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    prompts, completions = texts(60, 1), texts(60, 2)
    table = {"prompt": prompts, "completion": completions, "seen": [n % 2 == 0 for n in range(60)]}
    Dataset.from_dict(table).to_json(str(path))
    return path


def sft(base, folder, *, lora: bool):
    """What SFTTrainer leaves behind: model or adapter, tokenizer, and pickled arguments that nobody may open."""
    model = AutoModelForCausalLM.from_pretrained(base)
    if lora:
        model = get_peft_model(model, LoraConfig(r=2, target_modules=["c_attn"], task_type="CAUSAL_LM"))
    model.save_pretrained(folder)
    byte_level().save_pretrained(folder)
    (folder / "training_args.bin").write_bytes(b"no pickle")
    return folder


@pytest.mark.parametrize("lora", [False, True])
def test_a_folder_of_another_trainer_is_audited_on_rows_that_say_who_is_a_member(lora, base, rows, tmp_path, capsys):
    folder = sft(base, tmp_path / "sft", lora=lora)
    checkpoint = [] if lora else ["--base", str(base)]
    words = ["--model", str(folder), "--data", str(rows), "--data.member_column", "seen", *checkpoint]
    assert main(["audit", *words]) == 0, capsys.readouterr().err
    report = json.loads((folder / "privacy_report.json").read_text())
    assert report["split"]["n_members"] == report["split"]["n_nonmembers"] == 30
    assert "AUC" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "{folder}"], "--model and --data go together"),
        (["--data", "{rows}"], "--model and --data go together"),
        (["--model", "{folder}", "--data", "{rows}", "--config", "r.yaml"], "--model and --data go together"),
        (["--model", "{folder}", "--data", "{rows}"], "nothing says which rows"),
        (["--model", "{folder}", "--data", "{rows}", "--data.member_column", "prompt"], "true and false"),
        (["--model", "{folder}", "--data", "{rows}", "--data.member_column", "sen"], "did you mean 'seen'"),
        (["--model", "{folder}", "--data", "{rows}", "--audit.depth", "full"], "at quick depth"),
        (["--base", "x", "--config", "r.yaml"], "--base goes with --model"),
        (["--model", "no/such/folder/here", "--data", "{rows}"], "does not exist"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(words, message, base, rows, capsys):
    given = [word.format(folder=base, rows=rows) for word in words]
    assert main(["audit", *given]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert message in line
