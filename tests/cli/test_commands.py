"""What each command prints, writes and refuses to do twice."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from hf_privacy.cli import main
from hf_privacy.cli.arguments import COMMANDS, parse
from hf_privacy.errors import InputError
from hf_privacy.hub import validate_report, weights_sha256
from hf_privacy.reports import PrivacyReport

HEAVY = ("torch", "transformers", "datasets", "accelerate", "timm", "numpy", "matplotlib", "huggingface_hub")


# ---- starting up ----


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]], ids=str)
def test_every_help_fits_one_screen(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 100 for line in lines)
    assert any(line.startswith(f"  hf-privacy {' '.join(command)}") for line in lines[lines.index("examples:") :])


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_an_unknown_command_is_refused(capsys):
    assert main(["auditt"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("hf-privacy: ")
    assert "invalid choice: 'auditt'" in line


def test_no_command_shows_the_help_and_fails(capsys):
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2
    assert "usage: hf-privacy" in capsys.readouterr().out


def test_version(capsys):
    import hf_privacy

    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"hf-privacy {hf_privacy.__version__}\n"


def test_the_console_script_is_the_same_main():
    (script,) = entry_points(group="console_scripts", name="hf-privacy")
    assert script.load() is main


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    "code",
    [
        "import hf_privacy",
        "import hf_privacy; dir(hf_privacy); hf_privacy.InputError; hf_privacy.__version__",
        "from hf_privacy.cli.arguments import parse; parse(['train', '--config', 'x', '--data.seed', '1'])",
        "from hf_privacy.cli import main; main(['audit', '--config', 'no-such-file.yaml'])",
    ],
)
def test_import_and_a_refused_command_load_nothing_heavy(code):
    shown = run_python(f"{code}\nimport sys; print(*sorted(m for m in sys.modules if '.' not in m))")
    assert not set(HEAVY) & set(shown.split())


WORDS = """
import contextlib, io
from importlib.resources import files
from hf_privacy.cli import main
from hf_privacy.cli.arguments import COMMANDS
said = io.StringIO()
with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    for command in COMMANDS:
        with contextlib.suppress(SystemExit):
            main([command, "--help"])
    recipe = str(files("hf_privacy.cli") / "demo.yaml")
    for command in ("train", "audit", "report", "push", "unlearn"):
        assert main([command, "--config", recipe, "--data.label_colum", "x"]) == 2
        assert "label_column" in said.getvalue().splitlines()[-1]
    assert main(["compare", "--config", recipe]) == 2
    assert main(["train", "--config", recipe, "--defense", "relax_los"]) == 2
    assert main(["demo", "--output_dir", "x"]) == 2
    assert main(["trian"]) == 2
"""


def test_help_and_what_is_mistyped_are_answered_before_anything_heavy_is_imported():
    shown = run_python(f"{WORDS}\nimport sys; print(*sorted(m for m in sys.modules if '.' not in m))")
    assert not {"torch", "transformers", "datasets", "accelerate", "timm", "scipy", "matplotlib"} & set(shown.split())


def test_import_loads_next_to_nothing():
    # What an import takes is what it loads, on a machine of any speed: 30 modules of Python's own, as of 3.11.
    loaded = run_python(
        "import sys; before = set(sys.modules); import hf_privacy; print(len(set(sys.modules) - before))"
    )
    assert int(loaded) < 60


# ---- the command line's words ----


def test_keys_are_set_with_a_space_or_an_equals_sign():
    _, options = parse(["train", "--config", "r.yaml", "--training.seed", "1", "--data.split_seed=2", "--name", "-1"])
    assert options.overrides == {"training.seed": "1", "data.split_seed": "2", "name": "-1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "recipe.yaml"], "unexpected argument 'recipe.yaml'"),
        (["train", "--config", "x", "--training.seed"], "--training.seed has no value"),
        (["train", "--config", "x", "--training.seed", "--name"], "--training.seed has no value"),
        (["env", "--training.seed", "1"], "unknown key '--training.seed' in `hf-privacy env`"),
        (
            ["env", "--cahe"],
            "unknown key '--cahe' in `hf-privacy env`, which takes no recipe keys: did you mean '--cache'",
        ),
        (["push", "--folder", "x", "--dry-rum"], "unknown flag --dry-rum: did you mean --dry-run?"),
        (["audit", "--config", "x", "--canarie=3"], "unknown flag --canarie: did you mean --canaries?"),
        (["train", "--config", "x", "--output-dir", "y"], "unknown flag --output-dir: did you mean --output_dir?"),
    ],
    ids=str,
)
def test_words_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(InputError) as refused:
        parse(arguments)
    assert message in str(refused.value)


def test_a_command_without_recipe_or_folder_says_what_to_pass(cli):
    for command in ("train", "audit", "report", "push"):
        code, _, err = cli(command, *(["--repo-id", "a/b"] if command == "push" else []))
        assert code == 2
        assert err.startswith("hf-privacy: no recipe: pass --config recipe.yaml")


def test_config_and_folder_together_are_refused(cli, write_recipe, tmp_path):
    code, _, err = cli("audit", "--config", write_recipe(tmp_path), "--folder", str(tmp_path))
    assert code == 2
    assert "--config and --folder are both given" in err


# ---- env ----


def test_env_prints_versions_and_neither_path_nor_token(cli, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    code, out, _ = cli("env")
    assert code == 0
    for name in ("hf_privacy", "python", "torch", "transformers", "platform", "devices", "hub"):
        assert f"{name}: " in out
    assert "secret" not in out
    assert str(Path.home()) not in out
    assert "/" not in out


# ---- train ----


def test_train_writes_a_model_card_split_and_record(trained):
    files = {path.name for path in trained.iterdir()}
    assert {"model.safetensors", "config.json", "README.md", "private"} <= files
    assert not files & {"training_args.bin", "optimizer.pt", "trainer_state.json"}
    record = json.loads((trained / "private" / "training.json").read_text())
    assert record["weights_sha256"] == weights_sha256(trained)
    assert record["training_seconds"] > 0
    assert record["member_accuracy"] > record["nonmember_accuracy"]
    assert (trained / "private" / "recipe.yaml").is_file()
    assert (trained / "private" / "split.safetensors").stat().st_mode & 0o077 == 0


def test_train_twice_says_that_it_is_there_and_leaves_it(cli, trained):
    before = (trained / "model.safetensors").stat().st_mtime_ns
    code, out, _ = cli("train", "--config", str(trained.parent / "recipe.yaml"))
    assert code == 0
    assert "holds this recipe's trained model already" in out
    assert (trained / "model.safetensors").stat().st_mtime_ns == before


def test_train_says_what_it_trains_on(cli, write_recipe, tmp_path):
    code, out, _ = cli("train", "--config", write_recipe(tmp_path), "--training.num_train_epochs", "1")
    assert code == 0
    assert "training on 54 members; 54 non-members and 12 of the population held out" in out
    assert "repeats of members among the non-members: 0 exact" in out
    assert "saved to" in out


# ---- audit and report ----


def test_audit_prints_the_table_and_writes_report_page_and_card(cli, trained, own_copy):
    folder = own_copy(trained)
    # A recipe of five targets: a quick audit has one, and says so once.
    code, out, _ = cli("audit", "--folder", str(folder), "--audit.depth", "quick", "--audit.targets", "5")
    assert code == 0
    for title in ("LOSS", "Modified entropy", "Attack-P"):
        assert title in out
    report = json.loads((folder / "privacy_report.json").read_text())
    validate_report(report)
    said = "it is made on one target in place of 5."
    assert [out.count(said), sum(said in caveat for caveat in report["caveats"])] == [1, 1]
    assert report["model"]["name"] == "tiny"
    assert report["dataset"]["name"] == "table.parquet"
    assert report["cost"]["training_seconds"] > 0
    assert (folder / "privacy_report.html").is_file()
    assert "privacy" in (folder / "README.md").read_text()
    assert str(folder) not in (folder / "README.md").read_text()


def test_a_full_audit_trains_references_and_a_second_one_does_not(cli, audited, own_copy):
    folder = own_copy(audited)
    store = folder / "private" / "references"
    before = {path.name: path.stat().st_mtime_ns for path in store.glob("*.safetensors")}
    assert len(before) == 4
    code, out, _ = cli("audit", "--folder", str(folder))
    assert code == 0
    assert "LiRA" in out
    assert "RMIA" in out
    assert {path.name: path.stat().st_mtime_ns for path in store.glob("*.safetensors")} == before


def test_audit_settings_may_change_after_training_and_the_recipe_may_not(cli, trained, own_copy):
    folder = own_copy(trained)
    code, _, err = cli("audit", "--folder", str(folder), "--training.learning_rate", "0.5")
    assert code == 2
    assert "different: training" in err
    code, _, _ = cli("audit", "--folder", str(folder), "--audit.depth", "quick", "--audit.fprs", "[0.2]")
    assert code == 0
    assert [
        entry["fpr"] for entry in json.loads((folder / "privacy_report.json").read_text())["attacks"][0]["tpr_at_fpr"]
    ] == [0.2]


def test_report_draws_page_plots_and_card_again_from_the_json(cli, audited, own_copy):
    folder = own_copy(audited)
    before = (folder / "privacy_report.json").read_bytes()
    pictures = sorted(path.name for path in folder.glob("*.png"))
    for path in [folder / "privacy_report.html", folder / "README.md", *folder.glob("*.png")]:
        path.unlink()
    code, out, _ = cli("report", "--folder", str(folder))
    assert code == 0
    assert "LiRA" in out
    assert (folder / "privacy_report.html").is_file()
    assert sorted(path.name for path in folder.glob("*.png")) == pictures
    assert "LiRA" in (folder / "README.md").read_text()
    assert (folder / "privacy_report.json").read_bytes() == before
    assert PrivacyReport.load(folder)


def test_a_weaker_audit_takes_a_report_s_place_only_when_told_to(cli, audited, own_copy):
    folder = own_copy(audited)
    before = (folder / "privacy_report.json").read_bytes()
    quick = ("audit", "--folder", str(folder), "--audit.depth", "quick")
    for words in (quick, ("audit", "--folder", str(folder), "--audit.confidence", "0.5")):
        code, _, err = cli(*words)
        assert code == 2
        assert "holds a deeper privacy report of the same weights" in err
        assert "--replace-report" in err
        assert (folder / "privacy_report.json").read_bytes() == before
    code, _, _ = cli(*quick, "--replace-report")
    assert code == 0
    assert json.loads((folder / "privacy_report.json").read_text())["depth"] == "quick"


def test_report_keeps_what_the_recipe_says_of_the_push(cli, audited, own_copy):
    folder = own_copy(audited)
    recipe = folder / "private" / "recipe.yaml"
    recipe.write_text(
        recipe.read_text().replace("license: null", "license: mit").replace("repo_id: null", "repo_id: a/b")
    )
    (folder / "README.md").unlink()
    for _ in range(2):
        code, _, _ = cli("report", "--folder", str(folder))
        assert code == 0
        card = (folder / "README.md").read_text()
        assert "license: mit" in card
        assert 'from_pretrained("a/b")' in card
    code, _, _ = cli("report", "--folder", str(folder), "--push.license", "apache-2.0")
    assert code == 0
    assert "license: apache-2.0" in (folder / "README.md").read_text()


def test_report_of_a_folder_without_one_is_refused(cli, trained, tmp_path):
    for folder in (trained, tmp_path, tmp_path / "absent"):
        code, _, err = cli("report", "--folder", str(folder))
        assert code == 2
        assert len(err.strip().splitlines()) == 1


def test_report_reads_its_keys_or_refuses_them(cli, audited, own_copy):
    folder = own_copy(audited)
    code, _, err = cli("report", "--folder", str(folder), "--nonsense", "1")
    assert code == 2
    assert "unknown key --nonsense: " in err


# ---- push ----


def test_dry_run_lists_the_one_commit(cli, audited):
    code, out, _ = cli("push", "--folder", str(audited), "--repo-id", "me/tiny", "--dry-run")
    assert code == 0
    for name in ("model.safetensors", "config.json", "README.md", "privacy_report.json", "privacy_report.html"):
        assert name in out
    sent = out.partition("Left out:")[0]
    assert not any(name in sent for name in ("private/", "recipe.yaml", "split.safetensors", "reference_"))
    assert "me/tiny" in out


def test_dry_run_of_an_unaudited_model_is_refused_unless_allowed(cli, trained):
    arguments = ("push", "--folder", str(trained), "--repo-id", "me/tiny", "--dry-run")
    code, _, err = cli(*arguments)
    assert code == 3
    assert "report" in err
    code, out, _ = cli(*arguments, "--allow-unaudited")
    assert code == 0
    assert "model.safetensors" in out


def test_a_budget_from_the_command_line_refuses_the_push(cli, audited):
    arguments = ("push", "--folder", str(audited), "--repo-id", "me/tiny", "--dry-run")
    code, _, err = cli(*arguments, "--push.max_auc", "1.0")
    assert code == 3
    assert "have 4 reference models and a budget on leakage asks for at least 8" in err
    arguments = (*arguments, "--push.min_references", "4")
    code, _, err = cli(*arguments, "--push.max_auc", "0.51")
    assert code == 3
    assert "the budget is max_auc 0.51" in err
    code, _, _ = cli(*arguments, "--push.max_auc", "1.0")
    assert code == 0
    code, _, err = cli(*arguments, "--push.min_confidence", "0.99")
    assert code == 3
    assert "at confidence 0.95 and the gate judges at 0.99" in err


def test_a_push_without_a_repository_is_refused(cli, audited):
    code, _, err = cli("push", "--folder", str(audited), "--dry-run")
    assert code == 2
    assert "no repository: pass --repo-id owner/name" in err
