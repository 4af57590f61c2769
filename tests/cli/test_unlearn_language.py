"""`hf-privacy unlearn` for a language model: rows, a person, a killed queue, what is said, and what is refused."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from tiny_tokenizers import byte_level
from transformers import LlamaConfig, LlamaForCausalLM

from hf_privacy.auditing.examinations.unlearning import queue as queue_module
from hf_privacy.auditing.examinations.unlearning import serve as serve_module
from hf_privacy.data import ForgetSplit, MembershipSplit
from hf_privacy.hub import validate_report, weights_sha256
from hf_privacy.recipe import UnlearningRows
from hf_privacy.unlearning import LOG_NAME, RequestLog

# Every word is long and made of letters alone, so that one that leaks is found, and none stands in a report by chance.
WORDS = [f"{first}{second}" for first in ("quagmar", "zephord", "blintok") for second in ("wexil", "vandu", "jorpet")]
OWNERS = [f"ownerof{word}" for word in ("plinth", "gravel", "mottle", "swerve", "tundra", "velvet", "wobble", "yonder",
                                        "zigzag", "bramble", "crumpet", "drizzle")]  # fmt: skip
N_EACH = 3
METHOD = (
    "--unlearning.method",
    "gradient_ascent",
    "--unlearning.training",
    "{num_train_epochs: 3, learning_rate: 0.02}",
)
QUICK = ("--unlearning.relearning_steps", "0", "--unlearning.audit", "none")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """An adapter trained on half of 12 owners of three rows each: copy its folder before writing to it."""
    from hf_privacy.cli import main

    folder, tokenizer, draw = tmp_path_factory.mktemp("owners"), byte_level(), random.Random(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=96, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    rows = [
        {"question": f"who is {draw.choice(WORDS)}?", "answer": " ".join(draw.choices(WORDS, k=2)), "owner": owner}
        for owner in OWNERS
        for _ in range(N_EACH)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "task": "causal-lm",
        "output_dir": str(folder / "run"),
        "model": {"name_or_path": str(folder / "base"), "lora": {"r": 2}},
        "data": {
            "name_or_path": str(folder / "rows.jsonl"), "prompt_column": "question", "completion_column": "answer",
            "group_column": "owner", "near_repeats": False, "max_length": 64,
        },
        "training": {
            "num_train_epochs": 3, "per_device_train_batch_size": 6, "learning_rate": 0.02, "use_cpu": True,
        },
        "audit": {"depth": "quick", "extraction": False},
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["train", "--config", str(folder / "recipe.yaml")]) == 0
    return folder / "run"


@pytest.fixture
def run(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def split(trained) -> MembershipSplit:
    return MembershipSplit.load(trained / "private" / "split.safetensors")


def owner_of(row: int) -> str:
    return OWNERS[row // N_EACH]


@pytest.fixture
def unlearn(cli, run):
    """``unlearn("{rows: [1]}", *arguments)``: exit code, output, errors."""

    def command(request, *arguments: str):
        asked = () if request is None else ("--unlearning.request", request)
        return cli("unlearn", "--folder", str(run), *METHOD, *asked, *arguments)

    return command


def test_a_person_is_forgotten_and_the_report_says_what_came_of_it(unlearn, run, split):
    owner = owner_of(int(split.members[0]))
    before = weights_sha256(run)
    code, out, err = unlearn(f"{{group: {owner}}}", "--unlearning.retrains", "2", "--unlearning.relearning_steps", "2")
    assert code == 0, err
    folder = run / "unlearned" / "gradient_ascent"
    assert weights_sha256(run) == before != weights_sha256(folder)
    report = json.loads((folder / "privacy_report.json").read_text())
    validate_report(report)
    section = report["unlearning"]
    request = section["request"]
    assert (request["kind"], request["unit"], request["n_units"], request["n_forget"]) == ("group", "owner", 1, N_EACH)
    assert section["n_retrained"] == 2
    language = section["language"]
    for stage in ("before", "after", "retrained"):
        sets = language["sets"][stage]
        assert [one["name"] for one in sets] == ["forget", "retain", "test"]
        assert all(one["low"] <= one["perplexity"] <= one["high"] for one in sets)
        membership = language["membership"][stage]
        assert membership["attack"] == "window_comparison"
        assert membership["auc_low"] <= membership["auc"] <= membership["auc_high"]
    # What was ascended on went up, by much more than what was not.
    forget = [language["sets"][stage][0]["loss"] for stage in ("before", "after")]
    assert forget[1] > forget[0]
    said = " ".join(out.split())
    assert "gradient_ascent forgot 3 of 18 training examples (named groups, 1 by owner)" in said
    assert "Forget set: perplexity" in said
    assert said.count("Retrained (2)") == 2  # a table of figures, and one of what is a language model's alone
    assert "By window comparison with the base model forgotten rows were told" in said
    for file in ("privacy_report.json", "privacy_report.html", "README.md"):
        text = (folder / file).read_text()
        assert not [word for word in (*WORDS, *OWNERS, str(run.parent)) if word in text], file
    assert "Forget set: perplexity" in (folder / "README.md").read_text()


@pytest.mark.parametrize("form", ["rows", "where"])
def test_rows_and_a_columns_value_are_asked_for_as_of_classifiers(form, unlearn, run, split):
    row = int(split.members[0])
    request = f"{{rows: [{row}]}}" if form == "rows" else f"{{where: {{owner: {owner_of(row)}}}}}"
    code, out, err = unlearn(request, *QUICK)
    assert code == 0, err
    assert ("1 by owner" in out) == (form == "where")  # a whole owner's rows are that owner


def test_a_queue_that_is_killed_goes_on_and_its_log_names_units_and_nobody(unlearn, run, split, tmp_path, monkeypatch):
    first, second = (owner_of(int(split.members[place])) for place in (0, -1))
    requests = [
        {"request_id": "ask-1", "group": first},
        {"request_id": "ask-2", "rows": [int(split.members[-1])]},
        {"request_id": "ask-3", "group": [first, second]},
    ]
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(json.dumps(request) + "\n" for request in requests))
    calls, log_one = [], queue_module._log

    def killed_at_the_second(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return log_one(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(queue_module, "_log", killed_at_the_second)
        assert unlearn(None, *QUICK, "--queue", str(file))[0] == 130
    assert unlearn(None, *QUICK, "--queue", str(file))[0] == 0
    base = run / "unlearned" / "gradient_ascent-queue"
    entries = RequestLog(base).entries()
    assert [entry["unit"] for entry in entries] == ["owner", "row", "owner"]
    assert [(entry["n_new"], entry["n_forgotten"]) for entry in entries] == [(3, 3), (1, 4), (2, 6)]
    assert entries[-1]["weights_after"] == weights_sha256(base / "model-0003")
    text = (base / LOG_NAME).read_text()
    assert not [word for word in (*OWNERS, "ask-1", "ask-2", "ask-3") if word in text]


def test_a_queue_does_not_double_an_adapters_rank_with_every_request(unlearn, run, split, tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text(json.dumps({"request_id": "ask-1", "rows": [int(split.members[0])]}))
    npo = ("--unlearning.method", "npo", "--unlearning.training", "{second_adapter: true}")
    code, _, err = unlearn(None, *QUICK, *npo, "--queue", str(file))
    assert code == 2
    assert "every request of a queue would double the adapter's rank" in " ".join(err.split())
    assert not (run / "unlearned").exists()


def test_a_model_that_diverged_is_no_answer_to_a_request(unlearn, run, split, monkeypatch):
    """Gradient ascent at too high a rate is what users see first: the next try must not find the place taken."""
    request = f"{{group: {owner_of(int(split.members[0]))}}}"
    train = serve_module._trained

    def diverged(trainer, checkpoint):
        timing = train(trainer, checkpoint)
        for name in trainer.trainable():
            torch.nn.init.constant_(trainer.model.get_parameter(name), float("nan"))
        return timing

    with monkeypatch.context() as patch:
        patch.setattr(serve_module, "_trained", diverged)
        code, out, err = unlearn(request, *QUICK)
    assert code == 2
    assert "forgot" not in out
    assert "the model has diverged" in err
    assert "nothing was kept" in err
    assert not (run / "unlearned" / "gradient_ascent").exists()
    assert unlearn(request, *QUICK)[0] == 0


def test_rows_whose_copies_are_kept_are_counted():
    """Two of three rows asked for have a copy that is retained; which they are nobody is told."""
    repeats = SimpleNamespace(exact_group=np.array([0, 1, 2, 0, 1, 5]))
    forget = UnlearningRows(ForgetSplit([0, 1, 2], [3, 4, 7], []), np.array([5]), "rows")  # 7: a canary, in no group
    assert serve_module._kept_elsewhere(SimpleNamespace(repeats=repeats), forget) == 2
    assert serve_module._kept_elsewhere(SimpleNamespace(repeats=None), forget) == 0


@pytest.mark.parametrize("method", ["gradient_ascent", "npo"])
def test_no_epoch_forgets_nothing(method, unlearn, run, split):
    request = f"{{rows: [{int(split.members[0])}]}}"
    none = ("--unlearning.method", method, "--unlearning.training", "{num_train_epochs: 0}")
    code, _, err = unlearn(request, *QUICK, *none)
    assert code == 2
    assert "num_train_epochs is 0" in err
    assert not (run / "unlearned" / method).exists()


@pytest.mark.parametrize(
    ("request_for", "sentence"),
    [
        (lambda split: "{group: nobody}", "1 of the 1 groups asked for are no value of the column 'owner'"),
        (
            lambda split: f"{{group: {owner_of(int(split.non_members[0]))}}}",
            "3 of the 3 examples in group are not in the training set: the model cannot forget",
        ),
        (lambda split: f"{{rows: [{int(split.non_members[0])}]}}", "1 of the 1 examples in rows are not in the"),
        (lambda split: "{label: 1}", "the rows of a causal-lm model have no classes"),
        (lambda split: "{ids: [abc]}", "1 of 1 ids name no row of the dataset"),
        (lambda split: f"{{rows: {split.members.tolist()}}}", "nothing would be retained"),
    ],
)
def test_what_cannot_be_forgotten_is_refused_before_anything_is_trained(request_for, sentence, unlearn, run, split):
    code, _, err = unlearn(request_for(split))
    assert code == 2
    assert sentence in " ".join(err.split())
    assert not (run / "unlearned").exists() or not list((run / "unlearned").iterdir())


def test_held_out_rows_cut_no_owner_in_two(unlearn, split):
    rows = split.non_members[:1].tolist()
    code, _, err = unlearn(f"{{rows: [{int(split.members[0])}]}}", "--unlearning.heldout", str(rows))
    assert code == 2
    assert "unlearning.heldout cuts 1 groups by 'owner' in two" in " ".join(err.split())


def test_the_held_out_rows_and_those_that_judge_are_of_different_owners(unlearn, run, split):
    from hf_privacy.auditing.examinations.unlearning.folder import UnlearnedFolder

    assert unlearn(f"{{group: {owner_of(int(split.members[0]))}}}", *QUICK)[0] == 0
    rows = UnlearnedFolder(run / "unlearned" / "gradient_ascent").rows()
    parts = (rows.split.forget, rows.split.retain, rows.split.heldout, rows.test)
    owners = [set(np.asarray(part) // N_EACH) for part in parts]
    assert sum(len(one) for one in owners) == len(set.union(*owners)) == len(OWNERS)
