"""What is pushed about the audit is made from the report, for the repository it goes to, and escaped."""

from __future__ import annotations

import ast
import json
import re

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hf_privacy.errors import InputError
from hf_privacy.hub.plan import prepare_commit
from hf_privacy.reports import CardData, PrivacyReport, plan_push, render_card, write_card
from hf_privacy.reports.publish import commit_options

FILES = ("README.md", "privacy_report.html", "privacy_report.json", "privacy_roc.png", "privacy_scores.png")


def sent(folder, repo_id="ann/digits", card_data=None, **gate):
    """The bytes a push would send."""
    _, contents = prepare_commit(folder, repo_id, commit_options(card_data, gate), source=folder)
    return contents.uploads


@pytest.fixture
def audited(folder_report, model_folder):
    folder_report.save(model_folder)
    data = CardData(repo_id="ann/else", license="mit", description="Mine.", pipeline_tag="image-classification")
    write_card(model_folder, folder_report, data)
    return model_folder


def test_what_was_changed_in_the_folder_is_not_what_goes(audited):
    before = sent(audited)
    for name in FILES:
        if name.endswith((".png", ".html")):
            (audited / name).write_bytes(b"forged")
    card = (audited / "README.md").read_text()
    figures = re.findall(r"\d\.\d{3} \[", card)
    assert figures
    (audited / "README.md").write_text(re.sub(r"\d\.\d{3} \[", "0.500 [", card))
    after = sent(audited)
    assert {name: after[name] for name in FILES} == {name: before[name] for name in FILES}
    assert json.loads(after["privacy_report.json"]) == json.loads((audited / "privacy_report.json").read_text())


def test_the_card_names_the_repository_it_goes_to_and_keeps_what_was_written(audited):
    card = sent(audited)["README.md"].decode()
    assert 'from_pretrained("ann/digits")' in card
    assert "ann/else" not in card
    assert "Mine." in card
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "mit"
    assert b"ann/else" in (audited / "README.md").read_bytes()  # the folder stays as it was


def test_a_card_is_written_anew_from_card_data(audited):
    data = CardData(license="apache-2.0", pipeline_tag="image-classification")
    card = sent(audited, card_data=data)["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "apache-2.0"
    assert "Mine." not in card
    assert data.repo_id is None


def test_a_card_of_someone_else_keeps_its_text_and_gets_the_section(audited):
    (audited / "README.md").write_text("---\nlicense: gpl\n---\n# Theirs\n\nText of theirs.\n")
    card = sent(audited)["README.md"].decode()
    assert "Text of theirs." in card
    assert "## Privacy report" in card
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "gpl"


def test_an_unaudited_model_keeps_its_card_which_says_so(model_folder):
    (model_folder / "README.md").write_text("# Theirs\n")
    card = sent(model_folder, allow_unaudited=True)["README.md"].decode()
    assert "# Theirs" in card
    assert "**Unaudited.**" in card


def test_a_card_that_is_no_utf_8_is_one_sentence(audited):
    (audited / "README.md").write_bytes("Größe".encode("utf-16"))
    with pytest.raises(InputError, match=r"README\.md is not UTF-8"):
        plan_push(audited, "ann/digits")


def test_an_unknown_setting_is_one_sentence(audited):
    with pytest.raises(InputError, match="unknown argument 'max_acu'"):
        plan_push(audited, "ann/digits", max_acu=0.5)


NASTY = st.text(
    st.one_of(st.sampled_from("\"'\\`{}()[]|*_~<>&!#\n\r$%;:"), st.characters(exclude_categories=["Cs"])), min_size=1
)


@settings(max_examples=60, deadline=None)
@given(NASTY, st.sampled_from(["image-classification", "text-classification"]), st.sampled_from(["peft", "timm"]))
def test_names_are_python_strings_in_the_loading_example_whatever_they_hold(name, task, library):
    # A letter, a colon and a backslash, also one that Python writes for a character ('A:\x1f'), are refused as a path.
    assume(not re.search(r"[A-Za-z]:\\", repr(name)))
    card = render_card(None, CardData(repo_id=name, pipeline_tag=task, library_name=library, base_model="ann/base"))
    (code,) = re.findall(r"```python\n(.*?)\n```", card, re.DOTALL)
    strings = {node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)}
    assert name in strings
    calls = {node.func.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)}
    assert calls == {"from_pretrained", "eval"}


def test_names_are_text_in_the_card_and_the_page_whatever_they_hold(report, folder_report, tmp_path):
    evil = "x](https://evil.example) <script>alert(1)</script> `a` | **b** _c_ ![i](u)"
    folder_report.model["name"] = evil
    folder_report.model["architecture"] = evil
    folder_report.dataset["name"] = evil
    folder_report.dataset["fingerprint"] = "``` `"
    folder_report.defense["name"] = evil
    folder_report.caveats = [evil]
    card = render_card(folder_report, CardData(pipeline_tag="image-classification"))
    body = card.split("---\n", 2)[2]
    assert "<script" not in body
    assert "](https://evil" not in body.replace("\\](", "")
    assert "![i](u)" not in body
    assert " **b** " not in body
    folder_report.save(tmp_path)
    page = (tmp_path / "privacy_report.html").read_text()
    assert "<script" not in page
    assert PrivacyReport.load(tmp_path) == folder_report
