"""`hf-privacy audit --model --data`: a folder that something else trained, and rows that say who is a member."""

from __future__ import annotations

import json
import random
from fnmatch import fnmatch

import pytest
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tiny_tokenizers import CORPUS, byte_level, saved_language_model
from transformers import AutoModelForCausalLM, BertConfig, BertForSequenceClassification

from hf_privacy.cli import main

QUICKLY = ["--audit.blind_baseline", "false", "--audit.extraction", "false"]
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


def test_two_sources_say_who_is_a_member_and_the_card_names_the_base(base, rows, tmp_path, capsys):
    folder = sft(base, tmp_path / "sft", lora=False)
    (folder / "README.md").write_text(f"---\nbase_model: {base}\n---\n\n# Theirs\n")
    table = Dataset.from_json(str(rows)).to_dict()
    sides = []
    for seen in (True, False):
        kept = {name: table[name][0 if seen else 1 :: 2] for name in ("completion", "prompt")}
        sides.append(str(tmp_path / f"{seen}.jsonl"))
        Dataset.from_dict(kept).to_json(sides[-1])
    words = ["--model", str(folder), "--members", sides[0], "--nonmembers", sides[1]]
    assert main(["audit", *words, *QUICKLY, "--output_dir", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    report = json.loads((tmp_path / "out" / "privacy_report.json").read_text())
    assert report["split"]["n_members"] == report["split"]["n_nonmembers"] == 30
    assert report["dataset"]["name"] == "True.jsonl and False.jsonl"
    assert report["model"]["base_model"] == base.name
    assert "base_calibration" in [attack["name"] for attack in report["attacks"]]
    assert str(tmp_path) not in (tmp_path / "out" / "README.md").read_text()
    # The same as by a column.
    words = ["--model", str(folder), "--data", str(rows), "--member-column", "seen"]
    assert main(["audit", *words, *QUICKLY, "--output_dir", str(tmp_path / "column")]) == 0, capsys.readouterr().err
    other = json.loads((tmp_path / "column" / "privacy_report.json").read_text())
    figures = [[(attack["name"], round(attack["auc"], 9)) for attack in made["attacks"]] for made in (report, other)]
    assert figures[0] == figures[1]


def test_a_base_that_cannot_be_opened_is_said_and_no_end(base, rows, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = sft(base, tmp_path / "sft", lora=False)
    (folder / "README.md").write_text("---\nbase_model: no/such-base-there\n---\n")
    words = ["--model", str(folder), "--data", str(rows), "--member-column", "seen"]
    assert main(["audit", *words, *QUICKLY]) == 0, capsys.readouterr().err
    report = json.loads((folder / "privacy_report.json").read_text())
    assert any("no/such-base-there, which could not be opened" in caveat for caveat in report["caveats"])
    assert "base_calibration" not in [attack["name"] for attack in report["attacks"]]


def test_a_hub_id_is_fetched_without_pickles_and_reported_beside(base, rows, tmp_path, capsys, monkeypatch):
    folder, asked = sft(base, tmp_path / "cached", lora=False), {}

    def fetch(repo_id, **how):
        asked.update(how, repo_id=repo_id)
        return str(folder)

    monkeypatch.setattr("hf_privacy.models.elsewhere.snapshot_download", fetch)
    monkeypatch.chdir(tmp_path)
    words = ["--model", "owner/theirs", "--data", str(rows), "--member-column", "seen", "--model.revision", "v1"]
    assert main(["audit", *words, *QUICKLY]) == 0, capsys.readouterr().err
    assert (asked["repo_id"], asked["revision"]) == ("owner/theirs", "v1")
    assert not any(fnmatch("training_args.bin", pattern) for pattern in asked["allow_patterns"])
    report = json.loads((tmp_path / "runs" / "theirs" / "privacy_report.json").read_text())
    assert report["model"]["name"] == "owner/theirs"
    assert not (folder / "privacy_report.json").exists()


def test_a_classifier_of_texts_is_audited_with_its_columns_found(tmp_path, capsys):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    tokenizer = byte_level()
    config = BertConfig(vocab_size=len(tokenizer), num_labels=2, max_position_embeddings=16, **sizes)
    config.id2label = {0: "dull", 1: "fine"}
    BertForSequenceClassification(config).save_pretrained(tmp_path / "theirs")
    tokenizer.save_pretrained(tmp_path / "theirs")
    kinds = random.Random(0).choices(["fine", "dull"], k=60)
    table = {"id": range(60), "said": texts(60, 3), "kind": kinds, "seen": [n % 2 for n in range(60)]}
    Dataset.from_dict({name: list(values) for name, values in table.items()}).to_csv(str(tmp_path / "rows.csv"))
    words = ["--model", str(tmp_path / "theirs"), "--data", str(tmp_path / "rows.csv"), "--label", "kind"]
    assert main(["audit", *words, "--member-column", "seen", "--audit.blind_baseline", "false"]) == 0, (
        capsys.readouterr().err
    )
    report = json.loads((tmp_path / "theirs" / "privacy_report.json").read_text())
    assert report["dataset"]["n_classes"] == 2
    assert report["split"]["n_members"] == 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "{folder}"], "--model and --data go together"),
        (["--data", "{rows}"], "--model and --data go together"),
        (["--model", "{folder}", "--data", "{rows}", "--config", "r.yaml"], "'r.yaml' is no file"),
        (["--model", "{folder}", "--data", "{rows}", "--folder", "r"], "--model and --data go together"),
        (["--model", "{folder}", "--members", "{rows}"], "members and nonmembers go together"),
        (["--model", "{folder}", "--members", "{rows}", "--nonmembers", "{rows}"], "are both"),
        (["--model", "{folder}", "--members", "a", "--nonmembers", "b", "--member-column", "seen"], "leave one out"),
        (["--model", "{folder}", "--members", "a", "--nonmembers", "b", "--config", "r.yaml"], "go without --config"),
        (["--model", "{folder}", "--data", "{rows}"], "nothing says which rows"),
        (["--model", "{folder}", "--data", "{rows}", "--data.member_column", "prompt"], "true and false"),
        (["--model", "{folder}", "--data", "{rows}", "--data.member_column", "sen"], "did you mean 'seen'"),
        (["--model", "{folder}", "--data", "{rows}", "--audit.depth", "full"], "at quick depth"),
        (["--base", "x", "--config", "r.yaml"], "--base goes with --model"),
        (["--model", "no/such/folder/here", "--data", "{rows}", "--member-column", "seen"], "does not exist"),
        (["--model", "{folder}", "--data", "{rows}", "--member-column", "sen"], "--member-column is 'sen'"),
    ],
    ids=range(15),
)
def test_what_is_missing_is_said_in_one_sentence(words, message, base, rows, capsys):
    given = [word.format(folder=base, rows=rows) for word in words]
    assert main(["audit", *given]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert message in line
