"""`hf-privacy push` against the local Hub: one commit of weights, card and report, which loads again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from local_hub import READ_TOKEN, WRITE_TOKEN, running_hub
from small_training import RESNET

from hf_privacy.cli import main
from hf_privacy.hub import load_report_dict, weights_sha256

RELOAD = """
import json, sys
import torch
from huggingface_hub import hf_hub_download
from transformers import AutoImageProcessor, AutoModelForImageClassification
model = AutoModelForImageClassification.from_pretrained(sys.argv[1]).eval()
local = AutoModelForImageClassification.from_pretrained(sys.argv[2]).eval()
images = torch.rand(2, 1, 8, 8)
with torch.no_grad():
    same = torch.allclose(model(images).logits, local(images).logits, rtol=1e-5, atol=1e-6)
size = AutoImageProcessor.from_pretrained(sys.argv[1]).size
report = json.load(open(hf_hub_download(sys.argv[1], "privacy_report.json")))
print(json.dumps({"same": same, "size": [size["height"], size["width"]], "report": report}))
"""


@pytest.fixture(scope="module")
def audited_digits(tmp_path_factory) -> Path:
    """A small image model with a quick report, by the commands themselves."""
    folder = tmp_path_factory.mktemp("digits")
    recipe = {
        "task": "image-classification",
        "name": "tiny-digits",
        "output_dir": str(folder / "run"),
        "model": RESNET,
        "data": {"name_or_path": "digits", "max_examples": 100, "near_repeats": False},
        "training": {"num_train_epochs": 2, "per_device_train_batch_size": 25, "use_cpu": True},
        "audit": {"depth": "quick"},
        "push": {"repo_id": "tester/tiny-digits", "license": "mit"},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["train", "--config", str(folder / "recipe.yaml")]) == 0
    assert main(["audit", "--config", str(folder / "recipe.yaml")]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def local_hub(tmp_path_factory):
    """A Hub for this module; each test has repositories of its own."""
    with running_hub(tmp_path_factory.mktemp("hub_client")) as hub:
        yield hub


@pytest.fixture
def push(local_hub, audited_digits):
    def run(*words: str, environment: dict | None = None):
        command = [sys.executable, "-m", "hf_privacy.cli", "push", "--folder", str(audited_digits), *words]
        return local_hub.run(command, env=environment)

    return run


def test_a_push_is_one_private_commit_that_loads_again_with_its_report(push, local_hub, audited_digits):
    done = push()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"pushed: {local_hub.url}/tester/tiny-digits" in done.stdout
    (commit,) = local_hub.commits("tester/tiny-digits")
    wanted = {"model.safetensors", "config.json", "preprocessor_config.json", "README.md", "privacy_report.json"}
    assert wanted <= set(commit["added"])
    assert local_hub.repository("tester/tiny-digits")["private"]
    files = local_hub.files("tester/tiny-digits")
    assert not [name for name in files if "private" in name.split("/") or name.endswith((".yaml", ".bin", ".pt"))]
    for name, content in files.items():
        assert str(audited_digits.parent).encode() not in content, name
        assert WRITE_TOKEN.encode() not in content, name
    assert b"license: mit" in files["README.md"]

    reloaded = local_hub.python(RELOAD, "tester/tiny-digits", str(audited_digits))
    assert reloaded.returncode == 0, reloaded.stderr
    found = json.loads(reloaded.stdout.splitlines()[-1])
    assert found["same"]
    assert found["size"] == [8, 8]
    assert found["report"] == load_report_dict(audited_digits)
    assert found["report"]["model"]["weights_sha256"] == weights_sha256(audited_digits)


def test_a_pull_request_leaves_the_branch_as_it_was(push, local_hub):
    local_hub.create("tester/reviewed", private=True)
    before = local_hub.files("tester/reviewed")
    done = push("--repo-id", "tester/reviewed", "--push.create_pr", "true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/discussions/1" in done.stdout
    assert local_hub.files("tester/reviewed") == before
    assert "privacy_report.json" in local_hub.files("tester/reviewed", "refs/pr/1")


def test_a_dry_run_sends_nothing(push, local_hub):
    before = local_hub.writes()
    done = push("--repo-id", "tester/never", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "model.safetensors" in done.stdout
    assert local_hub.writes() == before
    assert local_hub.repository("tester/never") is None


@pytest.mark.parametrize(
    ("words", "environment", "code", "sentence"),
    [
        ([], {"HF_TOKEN": None}, 2, "there is no token for the Hub"),
        (["--push.max_auc", "0.01", "--push.min_depth", "quick"], {}, 3, "the budget is max_auc 0.01"),
        (["--push.max_auc", "1"], {}, 3, "of a quick audit and a budget on leakage asks for a full one"),
    ],
    ids=["missing token", "over the budget", "too shallow for a budget"],
)
def test_a_refused_push_sends_nothing(push, local_hub, words, environment, code, sentence):
    before = local_hub.writes()
    done = push("--repo-id", "tester/refused", *words, environment=environment)
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("hf-privacy: ")
    assert sentence in done.stderr
    assert local_hub.writes() == before


def test_a_token_that_may_only_read_is_refused_in_one_sentence(push, local_hub):
    done = push("--repo-id", "tester/readonly", environment={"HF_TOKEN": READ_TOKEN})
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert local_hub.commits("tester/readonly") == []
