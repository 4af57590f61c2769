"""The guides do what they say: each command of theirs is run, small, and what the text promises of it is there."""

from __future__ import annotations

import json

import pytest
from guides.pages import GUIDES, SMALL, SMALL_DIGITS, Page, check, guides_with_commands

from hf_privacy.errors import InputError
from hf_privacy.hub import load_report_dict

OF_DIGITS = {"train": SMALL_DIGITS, "init": SMALL_DIGITS}


def test_every_guide_with_commands_is_run_by_a_test_of_this_file():
    here = open(__file__, encoding="utf-8").read()  # noqa: SIM115
    for path in guides_with_commands():
        assert f'GUIDES / "{path.name}"' in here, f"{path.name}: no test runs its commands"


def test_read_a_report(with_first_run):
    page = Page(GUIDES / "read_a_report.md")
    shown = page.run(with_first_run, {**OF_DIGITS, "push": ["--push.min_references", "2"]})
    assert "already" in shown[0]
    report = json.loads(shown[4])
    assert report["verdict"]["sentence"]
    assert "legal advice" in shown[3]
    assert "One commit to you/digits" in shown[5]
    assert "max_auc" in shown[6]


def test_in_a_script(with_first_run):
    shown = Page(GUIDES / "scripting.md").run(with_first_run, OF_DIGITS)
    assert shown[0] == ""
    assert {"attacks", "verdict", "headline", "page"} <= set(json.loads(shown[1]))
    assert "hf-privacy: " in shown[2]
    assert "absent.yaml" in shown[3]
    assert json.loads(shown[4])["hub"]["state"] == "offline"


@pytest.mark.slow
def test_choose_a_defence(with_first_run):
    fewer = {"compare": ["--seeds", "[0, 1]", "--workers", "1"]}
    shown = Page(GUIDES / "choose_a_defence.md").run(with_first_run, {**OF_DIGITS, **fewer})
    assert "training.alpha" in shown[2]
    rows = json.loads((with_first_run / "runs" / "compared" / "comparison.json").read_text(encoding="utf-8"))["rows"]
    assert [row["name"] for row in rows] == ["none", "relax_loss"]


@pytest.mark.slow
def test_dp_in_practice(tmp_path):
    fewer = {"audit": ["--audit.depth", "quick", "--canaries", "40"]}
    Page(GUIDES / "dp_in_practice.md").run(tmp_path, {**OF_DIGITS, **fewer})
    report = load_report_dict(tmp_path / "runs" / "dp")
    assert report["epsilon"]["upper"]["epsilon"] <= 8


def test_audit_a_model_of_others(with_others):
    Page(GUIDES / "audit_a_model_of_others.md").run(with_others, {})
    for name in ("theirs", "theirs_too", "scores"):
        assert load_report_dict(with_others / "runs" / name)["depth"] == "quick"


def test_forget_a_person(with_people):
    small = {
        "init": [*SMALL, "--data.max_length", "48", "--audit.extraction", "false"],
        "unlearn": ["--unlearning.retrains", "1", "--unlearning.relearning_steps", "0"],
    }
    shown = Page(GUIDES / "forget_a_person.md").run(with_people, small)
    assert "forgot 3 of 18" in " ".join(shown[2].split())
    log = (with_people / "runs/people/unlearned/gradient_ascent-queue/unlearning_log.jsonl").read_text()
    assert "p3" not in log
    assert "r-17" not in log


@pytest.mark.parametrize("words", [["train", "--config", "r.yaml", "--training.epochs", "3"], ["audit", "--canaries"]])
def test_a_command_that_is_only_checked_may_not_be_wrong(words):
    with pytest.raises(InputError):
        check(words)


def test_a_command_of_another_program_is_no_silent_pass(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```bash\nrm -r runs\n```\n")
    with pytest.raises(AssertionError, match="nothing is skipped"):
        Page(page)


def test_a_command_that_ends_otherwise_fails(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```bash\nhf-privacy keys no_such_key\n```\n")
    with pytest.raises(AssertionError, match="no_such_key"):
        Page(page).run(tmp_path, {})
    page.write_text("```bash\nhf-privacy keys no_such_key # refused\n```\n")
    assert "no_such_key" in Page(page).run(tmp_path, {})[0]


def test_files_of_a_page_are_found_by_their_first_line_or_by_what_names_them(tmp_path):
    page = tmp_path / "page.md"
    named = "```yaml\n# a/b.yaml\nx: 1\n```\nA queue; `q.jsonl`:\n\n```jsonl\n{}\n```\n\n"
    page.write_text(f"{named}```yaml\nshown: only\n```\n")
    Page(page).write_files(tmp_path)
    assert (tmp_path / "a" / "b.yaml").read_text() == "# a/b.yaml\nx: 1\n"
    assert (tmp_path / "q.jsonl").read_text() == "{}\n"
    assert len(Page(page).files) == 2
