"""The real client against the local Hub: what is asked for, what is uploaded, and what is refused before either."""

from __future__ import annotations

import json
import os
import re

import pytest
from local_hub import READ_TOKEN, WRITE_TOKEN

PUSH = """
import json, sys
from hf_privacy.errors import InputError
from hf_privacy.reports import push_folder
try:
    commit = push_folder(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))
except InputError as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(2)
print(json.dumps({"url": str(commit), "pr": commit.pr_revision}))
"""
PICKLES = re.compile(r"\.(bin|pt|pth|pkl|pickle|ckpt)$")


def push(hub, folder, repo_id="tester/digits", *, env=None, **options):
    return hub.python(PUSH, str(folder), repo_id, json.dumps(options), env=env)


def pushed(hub, folder, repo_id="tester/digits", **options):
    done = push(hub, folder, repo_id, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def refused(hub, folder, repo_id="tester/digits", **options):
    done = push(hub, folder, repo_id, **options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert hub.commits() == []
    return done.stdout


def assert_nothing_leaks(files, *places):
    for name, content in files.items():
        assert not PICKLES.search(name), name
        assert not re.search(r"optimizer|scheduler|rng_state|training_args|trainer_state", name), name
        assert WRITE_TOKEN.encode() not in content, name
        for place in places:
            assert str(place).encode() not in content, name


def test_trap_17_a_push_is_one_commit_with_weights_card_and_report(local_hub, make_folder):
    folder = make_folder()
    pushed(local_hub, folder)
    (commit,) = local_hub.commits("tester/digits")
    assert {"model.safetensors", "config.json", "README.md", "privacy_report.json", "privacy_report.html"} <= set(
        commit["added"]
    )
    assert "privacy_roc.png" in commit["added"]
    assert commit["revision"] == "main"
    assert commit["description"].startswith("At 1 % false positives the strongest attack tried (Attack lira,")


def test_trap_17_a_new_repository_is_private(local_hub, make_folder):
    pushed(local_hub, make_folder())
    assert local_hub.repository("tester/digits")["private"]


def test_a_repository_is_public_when_asked_for(local_hub, make_folder):
    pushed(local_hub, make_folder(), private=False)
    assert not local_hub.repository("tester/digits")["private"]


def test_trap_18_the_uploaded_bytes_hold_no_token_no_state_no_pickle_and_no_path(local_hub, make_folder, tmp_path):
    folder = make_folder()
    for name in ("training_args.bin", "optimizer.pt", "rng_state.pth", "pytorch_model.bin", "trainer_state.json"):
        (folder / name).write_bytes(WRITE_TOKEN.encode())
    (folder / "config.json").write_text(json.dumps({"_name_or_path": str(folder), "model_type": "vit"}))
    pushed(local_hub, folder)
    files = local_hub.files("tester/digits")
    assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    there = json.loads((folder / "privacy_report.json").read_text())
    assert there == {name: json.loads(files["privacy_report.json"])[name] for name in there}
    assert json.loads(files["config.json"]) == {"model_type": "vit"}
    assert_nothing_leaks(files, folder, tmp_path, os.path.expanduser("~") + "/")


def test_a_bare_name_goes_under_the_user_of_the_token(local_hub, make_folder):
    pushed(local_hub, make_folder(), "digits")
    assert len(local_hub.commits("tester/digits")) == 1


def test_a_pull_request_leaves_main_as_it_was(local_hub, make_folder):
    local_hub.create("tester/digits", private=True)
    assert pushed(local_hub, make_folder(), create_pr=True)["pr"] == "refs/pr/1"
    (commit,) = local_hub.commits()
    assert commit["pull_request"]
    assert set(local_hub.files("tester/digits")) == {".gitattributes"}
    assert {"model.safetensors", "README.md", "privacy_report.json"} <= set(
        local_hub.files("tester/digits", "refs/pr/1")
    )


def test_a_push_to_a_branch_makes_the_branch(local_hub, make_folder):
    pushed(local_hub, make_folder(), revision="defended")
    assert "privacy_report.json" in local_hub.files("tester/digits", "defended")
    assert "privacy_report.json" not in local_hub.files("tester/digits", "main")


def test_a_second_push_replaces_weights_and_report_in_one_more_commit(local_hub, make_folder):
    pushed(local_hub, make_folder("one", seed=1))
    second = make_folder("two", seed=2)
    pushed(local_hub, second)
    assert len(local_hub.commits()) == 2
    files = local_hub.files("tester/digits")
    assert files["model.safetensors"] == (second / "model.safetensors").read_bytes()
    there = json.loads((second / "privacy_report.json").read_text())
    assert there == {name: json.loads(files["privacy_report.json"])[name] for name in there}


def test_an_unaudited_push_takes_the_report_of_earlier_weights_away(local_hub, make_folder):
    pushed(local_hub, make_folder("one", seed=1))
    pushed(local_hub, make_folder("two", seed=2, audited=False), allow_unaudited=True)
    commit = local_hub.commits()[-1]
    assert commit["deleted"] == ["privacy_report.html", "privacy_report.json", "privacy_roc.png", "privacy_scores.png"]
    card = local_hub.files("tester/digits")["README.md"].decode()
    assert "**Unaudited.**" in card
    assert "- unaudited" in card


def test_an_existing_public_repository_is_refused_unless_public_is_asked_for(local_hub, make_folder):
    local_hub.create("tester/digits", private=False)
    folder = make_folder()
    assert "exists and is public" in refused(local_hub, folder)
    assert local_hub.writes() == []
    pushed(local_hub, folder, private=False)
    assert len(local_hub.commits()) == 1


def test_an_adapter_is_pushed_with_its_base_model_s_id(local_hub, make_folder, tmp_path):
    folder = make_folder(adapter=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "base")}))
    pushed(local_hub, folder, base_model_id="tester/base")
    files = local_hub.files("tester/digits")
    assert json.loads(files["adapter_config.json"]) == {"base_model_name_or_path": "tester/base"}
    assert files["adapter_model.safetensors"] == (folder / "adapter_model.safetensors").read_bytes()
    assert_nothing_leaks(files, tmp_path)


def test_a_push_that_the_gate_or_the_search_refuses_sends_nothing_at_all(local_hub, make_folder, tmp_path):
    unaudited, over_budget, leaking, local_base = (
        make_folder("unaudited", audited=False),
        make_folder("over_budget"),
        make_folder("leaking"),
        make_folder("local_base", adapter=True),
    )
    (leaking / "README.md").write_text("token: " + WRITE_TOKEN)
    (local_base / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path)}))
    assert refused(local_hub, unaudited).startswith("GateError: there is no privacy_report.json")
    assert refused(local_hub, over_budget, max_auc=0.6).startswith("OverBudgetError: the budget")
    assert "README.md holds an access token" in refused(local_hub, leaking)
    assert "base_model_id" in refused(local_hub, local_base)
    assert local_hub.requests() == []


def test_a_missing_token_is_one_sentence_and_sends_nothing(local_hub, make_folder):
    message = refused(local_hub, make_folder(), env={"HF_TOKEN": None})
    assert "hf auth login" in message
    assert local_hub.requests() == []


def test_offline_is_one_sentence_and_sends_nothing(local_hub, make_folder):
    message = refused(local_hub, make_folder(), env={"HF_HUB_OFFLINE": "1"})
    assert "HF_HUB_OFFLINE is set" in message
    assert local_hub.requests() == []


@pytest.mark.parametrize("token", [READ_TOKEN, "hf_" + "w" * 34], ids=["reading", "unknown"])
def test_a_token_that_may_not_write_is_one_sentence(local_hub, make_folder, token):
    message = refused(local_hub, make_folder(), env={"HF_TOKEN": token})
    assert "refuses this token for tester/digits" in message
    assert local_hub.repository("tester/digits") is None


def test_a_token_given_as_argument_wins_over_the_environment(local_hub, make_folder):
    pushed(local_hub, make_folder(), env={"HF_TOKEN": READ_TOKEN}, token=WRITE_TOKEN)
    assert len(local_hub.commits()) == 1


CHANGED_MEANWHILE = PUSH.replace(
    "try:",
    """
import hf_privacy.hub.push as module
from pathlib import Path
checked = module.prepare_commit
def prepare(*arguments, **options):
    answer = checked(*arguments, **options)
    for path in Path(sys.argv[1]).iterdir():  # another process writes to the folder, right after the checks
        path.write_bytes(b"changed")
    return answer
module.prepare_commit = prepare
try:""",
)


def test_what_was_checked_is_what_goes_whatever_is_written_to_the_folder_meanwhile(local_hub, make_folder):
    folder = make_folder()
    weights = (folder / "model.safetensors").read_bytes()
    done = local_hub.python(CHANGED_MEANWHILE, str(folder), "tester/digits", "{}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "model.safetensors").read_bytes() == b"changed"
    files = local_hub.files("tester/digits")
    assert files["model.safetensors"] == weights
    assert not [name for name, content in files.items() if content == b"changed"]


def test_a_link_is_refused_before_anything_is_sent(local_hub, make_folder, tmp_path):
    folder = make_folder()
    (tmp_path / "secret").write_text("not for the Hub")
    (folder / "LICENSE").symlink_to(tmp_path / "secret")
    assert "LICENSE in" in refused(local_hub, folder)
    assert local_hub.requests() == []


def test_the_card_names_the_user_of_the_token_for_a_bare_name(local_hub, make_folder):
    folder = make_folder()
    (folder / "README.md").unlink()
    (folder / "config.json").write_text(json.dumps({"architectures": ["ViTForImageClassification"]}))
    pushed(local_hub, folder, "digits")
    assert 'from_pretrained("tester/digits")' in local_hub.files("tester/digits")["README.md"].decode()


@pytest.mark.live
def test_the_real_hub_takes_a_private_push_and_gives_the_report_back(make_folder, monkeypatch, tmp_path):
    token = os.environ.get("HF_PRIVACY_LIVE_TOKEN")
    if not token:
        pytest.skip("HF_PRIVACY_LIVE_TOKEN is not set")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    from huggingface_hub import HfApi

    from hf_privacy.hub import load_report_dict, weights_sha256
    from hf_privacy.reports import push_folder

    api = HfApi(token=token)
    repo_id = f"{api.whoami()['name']}/hf-privacy-live-test"
    folder = make_folder()
    try:
        push_folder(folder, repo_id, token=token)
        assert api.repo_info(repo_id).private
        back = api.snapshot_download(repo_id, local_dir=tmp_path / "back")
        assert load_report_dict(back)["model"]["weights_sha256"] == weights_sha256(back)
    finally:
        api.delete_repo(repo_id, missing_ok=True)
