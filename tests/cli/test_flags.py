"""What was typed as a flag is named as one in the message about it, and nothing else is."""

from __future__ import annotations

import pytest

from hf_privacy.cli.flags import as_flags


@pytest.mark.parametrize(
    ("message", "overrides", "said"),
    [
        (
            "unknown key 'modle' in the recipe: did you mean 'model'?",
            {"modle.name": "x"},
            "unknown key --modle.name: did you mean --model.name?",
        ),
        (
            "unknown key 'lr' in section 'unlearning.training': did you mean 'learning_rate'?",
            {"unlearning.training.lr": "1"},
            "unknown key --unlearning.training.lr: did you mean --unlearning.training.learning_rate?",
        ),
        (
            "unknown key 'nn' in canaries: known are n, kind",
            {"audit.canaries.nn": "1"},
            "unknown key --audit.canaries.nn: known are n, kind",
        ),
        ("section 'data' key 'stratify' is 1: pass bool", {"data.stratify": "1"}, "--data.stratify is 1: pass bool"),
        ("data.member_fraction is 2: no", {"data.member_fraction": "2"}, "--data.member_fraction is 2: no"),
        ("canaries.kind is 'x': no", {"audit.canaries.kind": "x"}, "--audit.canaries.kind is 'x': no"),
        ("extra_attacks holds 'x': no", {"audit.extra_attacks": "[x]"}, "--audit.extra_attacks holds 'x': no"),
        ("unknown key 'dpp' in defense: no", {"defense": "dpp"}, "--defense is 'dpp': no"),
        # Set in the file, whatever else was typed.
        ("references is 1: a full audit", {"audit.targets": "2"}, "references is 1: a full audit"),
        ("unknown key 'x' in section 'data': no", {"audit.x": "1"}, "unknown key 'x' in section 'data': no"),
        ("the references is 1", {"audit.references": "1"}, "the references is 1"),
        ("references is 1: a full audit", {}, "references is 1: a full audit"),
    ],
    ids=str,
)
def test_a_key_is_named_as_it_was_typed(message, overrides, said):
    assert as_flags(message, overrides) == said


def test_a_switch_is_named_with_its_dashes_where_the_message_is_about_its_value():
    flags = {"base": "x", "force": True, "label": None, "repo_id": "a/b/c"}
    assert as_flags("repo_id is 'a/b/c', no id", {}, flags) == "--repo-id is 'a/b/c', no id"
    assert as_flags("base is 'x', which is no checkpoint", {}, flags) == "--base is 'x', which is no checkpoint"
    assert as_flags("base is 'y', which is no checkpoint", {}, flags) == "base is 'y', which is no checkpoint"
    assert as_flags("label is None: pass one", {}, flags) == "label is None: pass one"


def test_what_is_short_for_a_key_is_named_as_it_was_typed():
    overrides, spelled = {"audit.canaries": "5"}, {"audit.canaries": "canaries"}
    assert as_flags("canaries is 5: pass 0", overrides, {}, spelled) == "--canaries is 5: pass 0"
    longer = "canaries.guesses is 5: pass [1, 2]"
    assert as_flags(longer, {"audit.canaries.guesses": "5"}, {}, spelled) == f"--audit.{longer}"
