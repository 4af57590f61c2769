"""A causal language model from a recipe to the Hub and back: trained, audited, pushed, served."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import yaml
from local_hub import running_hub
from tiny_tokenizers import byte_level
from transformers import LlamaConfig, LlamaForCausalLM

from hf_privacy.data import MembershipSplit
from hf_privacy.hub import load_report_dict, weights_sha256

# Every word is long and made of letters alone, so that one that leaks is found, and none stands in a report by chance.
WORDS = [f"{first}{second}" for first in ("quagmar", "zephord", "blintok") for second in ("wexil", "vandu", "jorpet")]
BASE = "tester/base"
COMMANDS = """
import json, sys
from hf_privacy.cli import main
for words in json.loads(sys.argv[1]):
    code = main(words)
    if code:
        raise SystemExit(code)
"""
SHARE_BASE = """
import sys
from huggingface_hub import HfApi
api = HfApi()
api.create_repo(sys.argv[1])
print(api.upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2]).oid)
"""
SERVED = """
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from hf_privacy.models import load_saved_model
repo, folder, revision = sys.argv[1:]
if revision:
    base = AutoModelForCausalLM.from_pretrained("tester/base", revision=revision)
    plain = base(input_ids=torch.arange(5, 15)[None]).logits.detach()
    served = PeftModel.from_pretrained(base, repo).eval()
else:
    served, plain = AutoModelForCausalLM.from_pretrained(repo).eval(), None
local = load_saved_model(folder).eval()
ids = AutoTokenizer.from_pretrained(repo)("who is it? the cat", return_tensors="pt").input_ids
with torch.no_grad():
    ours, theirs = local(input_ids=ids).logits, served(input_ids=ids).logits
    moved = plain is None or not torch.equal(plain, served(input_ids=torch.arange(5, 15)[None]).logits)
print(json.dumps({"same": torch.equal(ours, theirs), "moved": moved, "n_tokens": ids.shape[1]}))
"""


def rows(count: int = 32) -> list[dict[str, str]]:
    draw = random.Random(0)
    return [
        {
            "question": f"who is {draw.choice(WORDS)}?",
            "answer": " ".join(draw.choices(WORDS, k=3)),
            "owner": str(n // 2),
        }
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with running_hub(tmp_path_factory.mktemp("hub_client")) as hub:
        yield hub


@pytest.fixture(scope="module")
def base(hub, tmp_path_factory) -> tuple[Path, str]:
    """A base model on this machine, and the commit that has it on the Hub."""
    folder, tokenizer = tmp_path_factory.mktemp("base"), byte_level()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=96, bos_token_id=0, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    done = hub.python(SHARE_BASE, BASE, str(folder))
    assert done.returncode == 0, done.stderr
    return folder, done.stdout.split()[-1]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """``recipe(model={...})`` writes one and gives its file."""
    data = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows()))

    def write(folder: Path, **sections) -> Path:
        made = {
            "task": "causal-lm",
            "output_dir": str(folder / "run"),
            "data": {
                "name_or_path": str(data), "prompt_column": "question", "completion_column": "answer",
                "group_column": "owner", "near_repeats": False, "max_length": 64,
            },
            "training": {
                "num_train_epochs": 20, "per_device_train_batch_size": 8, "learning_rate": 0.02, "use_cpu": True,
            },
            "audit": {"depth": "quick"},
            **sections,
        }  # fmt: skip
        (folder / "recipe.yaml").write_text(yaml.safe_dump(made))
        return folder / "recipe.yaml"

    return write


def run(hub, *commands: list[str]):
    return hub.python(COMMANDS, json.dumps(commands), timeout=400)


LORA = {"lora": {"r": 4}}


@pytest.fixture(scope="module", params=["lora", pytest.param("full", marks=pytest.mark.slow)])
def pushed(request, hub, base, recipe, tmp_path_factory) -> tuple[str, Path]:
    """A model fine-tuned from the Hub's base: the repository it was pushed to, and its folder."""
    folder, repo = tmp_path_factory.mktemp(request.param), f"tester/{request.param}"
    model = {"name_or_path": BASE, **(LORA if request.param == "lora" else {})}
    config = ["--config", str(recipe(folder, model=model, push={"repo_id": repo}))]
    done = run(hub, ["train", *config], ["audit", *config], ["push", *config])
    assert done.returncode == 0, done.stdout + done.stderr
    return repo, folder / "run"


def test_what_is_served_says_the_same_as_what_was_trained(pushed, hub, base):
    repo, folder = pushed
    revision = base[1] if repo.endswith("lora") else ""
    done = hub.python(SERVED, repo, str(folder), revision)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["same"]
    assert found["moved"]
    assert found["n_tokens"] > 3


def test_one_commit_names_base_and_commit_wherever_they_are_asked_for(pushed, hub, base):
    repo, folder = pushed
    assert len(hub.commits(repo)) == 1
    files, report = hub.files(repo), load_report_dict(folder)
    assert json.loads(files["privacy_report.json"]) == report
    assert report["model"]["weights_sha256"] == weights_sha256(folder)
    assert (report["model"]["base_model"], report["model"]["base_revision"]) == (BASE, base[1])
    card = files["README.md"].decode()
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["pipeline_tag"] == "text-generation"
    assert metadata["base_model"] == BASE
    assert metadata["metrics"] == ["perplexity"]
    assert f"fine-tuned from {BASE} at revision `{base[1]}`" in card
    assert "The unit of privacy is all rows of one owner." in card
    assert "The only reference is the base checkpoint" in card
    if repo.endswith("lora"):
        adapter = json.loads(files["adapter_config.json"])
        assert (adapter["base_model_name_or_path"], adapter["revision"]) == (BASE, base[1])
        assert (metadata["library_name"], metadata["base_model_relation"]) == ("peft", "adapter")
        assert f'from_pretrained("{BASE}", revision="{base[1]}")' in card
        assert "model.safetensors" not in files
    else:
        assert (metadata["library_name"], metadata["base_model_relation"]) == ("transformers", "finetune")


def test_the_report_counts_tokens_and_says_perplexity(pushed):
    report = load_report_dict(pushed[1])
    tokens, utility = report["dataset"]["tokens"], report["utility"]
    assert tokens["n_scored"]["members"] > 16
    assert tokens["n_total"] > sum(tokens["n_scored"].values())  # prompts
    assert tokens["n_truncated"] == 0
    for side in ("member", "nonmember"):  # which is the lower one hangs on the course of so small a training
        found = utility[f"{side}_perplexity"]
        assert 1 < found["low"] <= found["value"] <= found["high"]
        assert found["value"] < len(byte_level())  # of a model that knows nothing
    assert report["split"]["unit"] == "owner"
    names = {attack["name"] for attack in report["attacks"]}
    assert {"loss", "min_k_plus_plus", "zlib", "base_calibration", "window_comparison", "length"} <= names
    assert all("class" not in attack["title"].lower() for attack in report["attacks"])


def test_no_training_text_and_no_folder_leaves(pushed, hub):
    repo, folder = pushed
    (commit,) = hub.commits(repo)
    said = {**hub.files(repo), "the commit": json.dumps(commit["message"]).encode()}
    assert "privacy_report.html" in said
    for name, content in said.items():
        for secret in (*WORDS, str(folder.parent)):
            assert secret.encode() not in content, (name, secret)


@pytest.mark.slow
def test_an_adapter_of_a_local_base_is_pushed_once_its_id_is_named(hub, base, recipe, tmp_path):
    model = {"name_or_path": str(base[0]), **LORA}
    config = ["--config", str(recipe(tmp_path, model=model, push={"repo_id": "tester/local"}))]
    done = run(hub, ["train", *config], ["audit", *config], ["push", *config])
    assert done.returncode == 2
    (sentence,) = done.stderr.strip().splitlines()[-1:]
    assert "adapter_config.json names a local folder as its base model" in sentence
    assert "model.base_model_id" in sentence
    assert hub.repository("tester/local") is None
    done = run(hub, ["push", *config, "--model.base_model_id", BASE])
    assert done.returncode == 0, done.stderr
    files = hub.files("tester/local")
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == BASE
    assert str(base[0]).encode() not in b"".join(files.values())
    assert yaml.safe_load(files["README.md"].decode().split("---\n")[1])["base_model"] == BASE


@pytest.mark.slow
def test_an_adapter_that_forgot_somebody_is_pushed_by_the_same_gate(hub, base, recipe, tmp_path):
    split_of = {"name_or_path": BASE, **LORA}
    unlearning = {"method": "npo", "training": {"num_train_epochs": 2}, "relearning_steps": 0, "retrains": 1}
    config = [
        "--config",
        str(recipe(tmp_path, model=split_of, unlearning=unlearning, push={"repo_id": "tester/forgot"})),
    ]
    done = run(hub, ["train", *config])
    assert done.returncode == 0, done.stderr
    members = MembershipSplit.load(tmp_path / "run" / "private" / "split.safetensors").members
    owner = rows()[int(members[0])]["owner"]
    asked = ["--unlearning.request", json.dumps({"group": owner})]
    folder = tmp_path / "run" / "unlearned" / "npo"
    pushed = ["push", "--folder", str(folder), "--repo-id", "tester/forgot"]
    too_far = [*pushed, "--push.max_unlearning_gap", "0.0001"]
    done = run(hub, ["unlearn", *config, *asked])
    assert done.returncode == 0, done.stderr
    assert run(hub, too_far).returncode == 3
    assert hub.repository("tester/forgot") is None
    done = run(hub, pushed)
    assert done.returncode == 0, done.stderr
    files = hub.files("tester/forgot")
    report = json.loads(files["privacy_report.json"])
    assert report["unlearning"]["request"]["unit"] == "owner"
    assert report["model"]["weights_sha256"] == weights_sha256(folder) != weights_sha256(tmp_path / "run")
    assert "adapter_model.safetensors" in files
    card = files["README.md"].decode()
    assert "npo forgot 2 of" in card
    assert "Forget set: perplexity" in card
    for name, content in files.items():
        for secret in (*WORDS, str(tmp_path)):
            assert secret.encode() not in content, (name, secret)
