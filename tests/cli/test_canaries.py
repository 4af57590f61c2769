"""`hf-privacy audit --canaries m`."""

from __future__ import annotations

import json

import pytest

from hf_privacy.cli.arguments import parse
from hf_privacy.hub import load_report_dict

QUICK = ("--audit.depth", "quick", "--audit.blind_baseline", "false")


def test_the_switch_is_short_for_the_recipes_key():
    for arguments in (["--canaries", "40"], ["--canaries=40"], ["--audit.canaries", "40"]):
        _, options = parse(["audit", "--config", "recipe.yaml", *arguments])
        assert options.overrides == {"audit.canaries": "40"}


def test_a_quick_audit_with_canaries_bounds_epsilon_and_a_second_one_does_not_train_again(cli, trained, own_copy):
    folder = own_copy(trained)
    code, shown, errors = cli("audit", "--folder", str(folder), *QUICK, "--canaries", "30")
    assert code == 0, errors
    report = load_report_dict(folder)
    assert report["canaries"]["n_canaries"] == 30
    assert report["epsilon"]["upper"] is None
    assert report["epsilon"]["lower"]["epsilon"] == report["canaries"]["one_run"]
    assert "Canaries (30 mislabelled" in shown
    assert "canaries" in (folder / "README.md").read_text()

    store = next((folder / "private" / "canaries").glob("*.safetensors"))
    written = store.stat().st_mtime_ns
    code, again, _ = cli("audit", "--folder", str(folder), *QUICK, "--canaries", "30")
    assert code == 0
    assert load_report_dict(folder)["canaries"] == report["canaries"]
    assert store.stat().st_mtime_ns == written
    seed = json.loads((folder / "private" / "canaries" / "seed.json").read_text())["seed"]
    assert not any(seed in text for text in (shown, errors, again))

    code, _, errors = cli("audit", "--folder", str(folder), *QUICK, "--canaries", "20")
    assert code == 2
    assert "holds a canary audit of other settings" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--canaries", "many"], "section 'canaries' key 'n' is 'many': pass int"),
        (["--canaries", "5"], "canaries is 5: pass 0 for none, or at least 10"),
        (["--canaries", "-20"], "canaries is -20: pass 0 for none"),
        (["--canaries", "1000"], "--canaries is 1,000 and 66 rows lie outside the training set"),
        (["--canaries", "20", "--audit.canary_kind", "worded"], "canaries.kind is 'worded'"),
        (["--canaries", "20", "--audit.canary_guesses", "[3]"], "canaries.guesses holds 3 for 20 canaries"),
        (["--canaries", "20", "--audit.canary_guesses", "[]"], "canaries.guesses is empty"),
        (["--canaries", "20", "--audit.delta", "1"], r"delta is 1.0: pass a number in (0, 1)"),
    ],
)
def test_bad_canary_settings_are_one_sentence(cli, trained, own_copy, arguments, message):
    code, shown, errors = cli("audit", "--folder", str(own_copy(trained)), *QUICK, *arguments)
    assert (code, shown) == (2, "")
    assert errors.startswith("hf-privacy: ")
    assert message in errors
    assert len(errors.splitlines()) == 1
