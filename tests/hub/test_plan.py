"""A dry run makes every check a push makes, and says what the one commit would hold."""

from __future__ import annotations

import json

import pytest

from hf_privacy.errors import InputError
from hf_privacy.hub import GateError, check_login, headline, load_report_dict
from hf_privacy.hub.unaudited import unaudited_card
from hf_privacy.reports import plan_push


def test_the_plan_lists_the_one_commit(make_folder):
    folder = make_folder()
    (folder / "optimizer.pt").write_bytes(b"x")
    plan = plan_push(folder, "ann/digits")
    assert [name for name, _ in plan.files] == [
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "privacy_report.html",
        "privacy_report.json",
        "privacy_roc.png",
        "privacy_scores.png",
    ]
    assert dict(plan.files)["model.safetensors"] == (folder / "model.safetensors").stat().st_size
    assert plan.private
    assert plan.audited
    assert plan.left_out == ("optimizer.pt",)


def test_the_commit_begins_with_the_headline_of_page_and_card(make_folder):
    plan = plan_push(make_folder(), "ann/digits")
    text = plan.describe()
    assert "One commit to ann/digits" in text
    assert "private" in text
    assert plan.commit_description.splitlines()[0] == headline(load_report_dict(make_folder("again")))
    assert "the strongest attack tried (Attack lira, 8 reference models) recognises 5 % [3 %, 6 %]" in text
    assert "8 reference models" in text


def test_an_adapter_is_planned_too(make_folder):
    names = [name for name, _ in plan_push(make_folder(adapter=True), "ann/digits").files]
    assert {"adapter_model.safetensors", "adapter_config.json", "privacy_report.json"} <= set(names)


def test_the_gate_stands_before_the_plan(make_folder):
    with pytest.raises(GateError):
        plan_push(make_folder("one", audited=False), "ann/digits")
    with pytest.raises(GateError, match="budget"):
        plan_push(make_folder("two"), "ann/digits", max_auc=0.6)
    with pytest.raises(GateError, match="budget"):
        plan_push(make_folder("three"), "ann/digits", max_tpr_at_fpr=(0.01, 0.01))


def test_an_audited_model_without_a_card_gets_one_with_its_report(make_folder):
    folder = make_folder()
    (folder / "README.md").unlink()
    assert "README.md" in dict(plan_push(folder, "ann/digits").files)
    assert not (folder / "README.md").exists()


def test_an_unaudited_model_gets_a_minimal_card(make_folder):
    plan = plan_push(make_folder(audited=False), "ann/digits", allow_unaudited=True)
    assert not plan.audited
    assert "README.md" in dict(plan.files)
    assert "Unaudited" in plan.describe()


def test_weights_without_a_configuration_are_refused(make_folder):
    folder = make_folder()
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config\.json"):
        plan_push(folder, "ann/digits")


@pytest.mark.parametrize("repo_id", ["ann/digits/x", "a b", "", "-ann/x"])
def test_a_bad_repository_id_is_refused(make_folder, repo_id):
    with pytest.raises(InputError, match="repo_id"):
        plan_push(make_folder(), repo_id)


def test_a_token_in_the_commit_message_is_refused(make_folder):
    with pytest.raises(InputError, match="commit_message"):
        plan_push(make_folder(), "ann/digits", commit_message="pushed with hf_" + "a" * 34)


def test_login_offline_is_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        check_login("hf_" + "a" * 34)


def test_login_takes_the_argument_first(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "from-environment")
    assert check_login("argument") == "argument"
    assert check_login() == "from-environment"


def test_the_unaudited_notice_stands_right_below_the_heading():
    card = "---\nlicense: mit\ntags:\n- digits\n---\n\n# Digits\n\nText.\n"
    lines = [line for line in unaudited_card(card, title="x").split("---\n")[2].splitlines() if line]
    assert lines[0] == "# Digits"
    assert lines[2].startswith("> **Unaudited.**")
    assert lines[-1] == "Text."


def test_the_unaudited_tag_joins_the_others_and_the_metadata_stays():
    card = unaudited_card("---\nlicense: mit\ntags:\n- digits\n---\n# Digits\n", title="x")
    assert "license: mit" in card
    assert "- digits" in card
    assert "- unaudited" in card


def test_a_card_without_heading_or_metadata_is_marked_at_its_top():
    card = unaudited_card("Just text.\n", title="x")
    assert card.index("**Unaudited.**") < card.index("Just text.")


def test_a_card_whose_metadata_is_broken_is_refused():
    with pytest.raises(InputError, match=r"metadata of README\.md"):
        unaudited_card("---\ntags: [a\n---\n# x\n", title="x")


def test_the_folder_is_left_as_it_was(make_folder):
    folder = make_folder(audited=False)
    (folder / "config.json").write_text(json.dumps({"_name_or_path": str(folder)}))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    plan_push(folder, "ann/digits", allow_unaudited=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
