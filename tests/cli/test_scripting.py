"""What a script builds on: exit codes, one JSON document on standard output, silence, and words that complete."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

import hf_privacy.progress
from hf_privacy.cli import env, main, train
from hf_privacy.cli.arguments import COMMANDS, parse
from hf_privacy.cli.output import output, plain, show
from hf_privacy.errors import InputError, NetworkError
from hf_privacy.hub import GateError
from hf_privacy.hub.gate import OverBudgetError

# ---- exit codes ----


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x is 1: pass 2"), 2),
        (OSError(28, "No space left on device", "x"), 2),
        (GateError("there is no report"), 3),
        (OverBudgetError("the budget is max_auc 0.5"), 3),
        (NetworkError("the Hub cannot be reached"), 4),
        (ConnectionRefusedError(111, "Connection refused"), 4),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_ending_has_its_exit_code_and_one_sentence_on_standard_error(
    error, code, monkeypatch, write_recipe, tmp_path, cli
):
    def fails(options):
        raise error

    monkeypatch.setattr(train, "train", fails)
    found, out, err = cli("train", "--config", write_recipe(tmp_path), "--json")
    assert (found, out) == (code, "")
    assert err.startswith("hf-privacy: ")
    assert err.count("\n") == 1


def test_a_defect_keeps_its_traceback(monkeypatch, write_recipe, tmp_path):
    monkeypatch.setattr(train, "train", lambda options: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # with which Python exits with 1
        main(["train", "--config", write_recipe(tmp_path), "--json"])


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m hf_privacy.cli keys | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 141)  # 0 where it was read before it was gone
    assert done.stderr == ""


def test_the_help_says_the_exit_codes(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for words in ("0 done", "2 bad input", "3 the gate", "4 the Hub", "130 interrupted", "1 a defect"):
        assert words in said


# ---- --json ----


def refuse_constant(name: str):
    raise AssertionError(f"{name} is no JSON")


@pytest.fixture
def document(cli):
    """The one document that a command prints, and what it says beside it."""

    def read(*arguments: str) -> tuple[dict, str]:
        code, out, err = cli(*arguments, "--json")
        assert code == 0, err
        return json.loads(out, parse_constant=refuse_constant), err

    return read


def test_a_training_and_its_audit_say_in_json_what_they_print(document, write_recipe, tmp_path):
    recipe = write_recipe(tmp_path, training={"num_train_epochs": 1})
    found, said = document("train", "--config", recipe)
    assert found["trained"]
    assert found["sizes"] == {"members": 54, "non_members": 54, "population": 12}
    assert found["repeats"]["exact"] == 0
    assert set(found["utility"]) >= {"member_accuracy", "nonmember_accuracy"}
    assert "training on 54 members" in said
    assert not document("train", "--config", recipe)[0]["trained"]
    found, _ = document("audit", "--config", recipe, "--audit.depth", "quick")
    saved = json.loads((tmp_path / "run" / "privacy_report.json").read_text())
    assert found["attacks"] == saved["attacks"]
    assert found["verdict"]["level"]
    assert found["page"].endswith("privacy_report.html")


def test_report_and_a_dry_run_are_documents(document, audited, own_copy):
    folder = str(own_copy(audited))
    assert document("report", "--folder", folder)[0]["depth"] == "full"
    found, _ = document("push", "--folder", folder, "--repo-id", "me/tiny", "--dry-run")
    assert (found["pushed"], found["repo_id"], found["audited"]) == (False, "me/tiny", True)
    sizes = {file["name"]: file["bytes"] for file in found["files"]}
    assert sizes["model.safetensors"] > 0


def test_an_unlearning_is_a_document(document, trained, own_copy):
    method = ("--unlearning.method", "gradient_ascent", "--unlearning.training", "{num_train_epochs: 1}")
    less = ("--unlearning.request.label", "1", "--unlearning.audit", "none", "--unlearning.relearning_steps", "0")
    found, said = document("unlearn", "--folder", str(own_copy(trained)), *method, *less)
    assert found["unlearning"]["request"]["kind"] == "label"
    assert "forgot" in said


def test_metrics_and_env_are_documents(document):
    assert {"name", "description"} == set(document("metrics", "list")[0]["metrics"][0])
    (space,) = document("metrics", "push", "lira", "--namespace", "me", "--dry-run")[0]["spaces"]
    assert (space["repo_id"], space["private"], space["revision"]) == ("me/lira", True, "main")
    found, _ = document("env")
    assert found["hub"] == {"state": "offline", "host": "huggingface.co", "reason": "HF_HUB_OFFLINE is set"}
    assert found["versions"]["torch"]
    assert document("env", "--cache")[0]["limit_bytes"] > 0


def test_references_are_documents(document, write_recipe, tmp_path):
    recipe, plan = write_recipe(tmp_path, training={"num_train_epochs": 1}), str(tmp_path / "store" / "plan.json")
    assert document("references", "plan", "--config", recipe, "--output", plan)[0]["references"] == 4
    assert document("references", "run", "--plan", plan, "--ranks", "1")[0]["trained"] == 1
    found, _ = document("references", "status", "--plan", plan)
    assert (found["done"], found["failed"], found["missing"]) == ([1], [], [0, 2, 3])
    found, _ = document("references", "collect", "--plan", plan, "--config", recipe)
    assert (found["done"], found["missing"]) == ([1], [0, 2, 3])


def test_no_figure_is_written_that_json_does_not_have(capsys):
    with output(as_json=True, quiet=False):
        print("on the way")
        show("text", lambda: {"auc": math.nan, "all": [math.inf, 0.5]})
    out, err = capsys.readouterr()
    assert json.loads(out, parse_constant=refuse_constant) == {"auc": None, "all": [None, 0.5]}
    assert err == "on the way\n"
    assert plain((1, "é")) == [1, "é"]


def test_every_command_that_prints_figures_has_json_and_all_have_quiet():
    for command in COMMANDS:
        words = {"references": ["status"], "metrics": ["list"]}.get(command, [])
        _, options = parse([command, *words, "--quiet"])
        assert options.flags["quiet"]
        assert ("json" in options.flags) == (command not in ("demo", "init", "keys"))


# ---- --quiet, and progress ----


@pytest.fixture
def chatty(monkeypatch):
    """Progress has a line for every step, not one in ten seconds."""
    from hf_privacy.cli import plain_progress

    for module in (hf_privacy.progress, plain_progress):
        monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)


@pytest.mark.usefixtures("chatty")
def test_quiet_says_nothing_and_json_beside_it_the_document_alone(cli, write_recipe, tmp_path):
    recipe = write_recipe(tmp_path, training={"num_train_epochs": 2, "logging_steps": 1, "logging_strategy": "steps"})
    assert cli("train", "--config", recipe, "--quiet") == (0, "", "")
    code, out, err = cli("audit", "--config", recipe, "--audit.depth", "quick", "--quiet", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["depth"] == "quick"
    code, out, err = cli("audit", "--config", recipe, "--audit.depth", "deep", "--quiet")
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.usefixtures("chatty")
def test_progress_says_the_loss_in_words(cli, write_recipe, tmp_path):
    recipe = write_recipe(tmp_path, training={"num_train_epochs": 2, "logging_steps": 1, "logging_strategy": "steps"})
    code, out, err = cli("train", "--config", recipe, "--training.disable_tqdm", "true")
    assert code == 0
    (line, *_) = [line for line in err.splitlines() if ", loss " in line]
    assert float(line.partition(", loss ")[2].partition(",")[0]) > 0
    assert "{'" not in out + err


class Terminal:
    """Standard error as a terminal."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("variable", [None, "1"])
def test_a_terminal_has_bars_unless_none_are_asked_for(variable, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    if variable is not None:
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", variable)
    assert list(hf_privacy.progress.progress([1, 2], description="rows")) == [1, 2]
    assert ("rows: 100%" in terminal.text) == (variable is None)


def test_a_bar_has_what_is_logged_in_words(monkeypatch, write_recipe, tmp_path):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS", raising=False)
    assert main(["train", "--config", write_recipe(tmp_path, training={"num_train_epochs": 2})]) == 0
    assert "loss 1." in terminal.text or "loss 0." in terminal.text
    assert ", learning rate " in terminal.text
    assert "{'" not in terminal.text


# ---- the Hub ----


@pytest.fixture
def hub_at(monkeypatch):
    """Switched on, at an address of this machine."""
    from huggingface_hub import constants

    def set_to(url: str) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setenv("HF_ENDPOINT", url)

    return set_to


def test_env_says_in_a_line_that_the_hub_is_not_there(hub_at, cli):
    hub_at("http://127.0.0.1:9")
    code, out, _ = cli("env")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("hub: ")]
    assert line.startswith("hub: 127.0.0.1:9 cannot be reached (")


@pytest.mark.parametrize(("status", "state"), [(200, "online"), (401, "online"), (503, "unreachable")])
def test_env_asks_the_hub_once(hub_at, status, state):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        hub_at(f"http://127.0.0.1:{server.server_port}")
        found = env.hub_state()
        thread.join()
    assert found["state"] == state
    assert found.get("reason") == (None if state == "online" else "HTTP 503")


# ---- trackers ----


def test_an_audit_reaches_the_trackers_of_its_training_by_the_same_name(monkeypatch, write_recipe, tmp_path, cli):
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    from hf_privacy.recipe import config_arguments

    got: dict[str, set] = {"names": set(), "logs": set(), "steps": set()}

    class Recorded(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            got["names"].add(args.run_name)
            got["logs"] |= set(logs)
            got["steps"].add(state.global_step)

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "tensorboard", Recorded)
    monkeypatch.setattr(config_arguments, "get_available_reporting_integrations", lambda: ["tensorboard"])
    recipe = write_recipe(tmp_path, training={"num_train_epochs": 1, "report_to": "tensorboard"})
    assert cli("train", "--config", recipe)[0] == 0
    assert (got["names"], got["steps"]) == ({"tiny"}, {3})
    assert cli("audit", "--config", recipe, "--audit.depth", "quick")[0] == 0
    assert (got["names"], got["steps"]) == ({"tiny"}, {3})
    assert {"loss", "eval_audit/loss/auc", "eval_audit/loss/auc_low", "eval_audit/nonmember_accuracy"} <= got["logs"]


# ---- completion ----


def completed(script: str, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = f"source /dev/stdin; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _shtab_hf_privacy"
    done = subprocess.run(
        ["bash", "-c", f"{code}; printf '%s\\n' \"${{COMPREPLY[@]}}\""],
        input=script,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(sys.platform == "win32", reason="bash completes there where it is installed")
def test_bash_completes_commands_flags_and_the_keys_of_a_recipe(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--print-completion", "bash"])
    assert left.value.code == 0
    script = capsys.readouterr().out
    assert completed(script, "hf-privacy", "aud") == ["audit"]
    assert completed(script, "hf-privacy", "audit", "--repl") == ["--replace-report"]
    assert completed(script, "hf-privacy", "train", "--data.label_c") == ["--data.label_column"]
    assert completed(script, "hf-privacy", "audit", "--audit.depth", "q") == ["quick"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_too(shell, capsys):
    with pytest.raises(SystemExit):
        main(["--print-completion", shell])
    script = capsys.readouterr().out
    assert "hf-privacy" in script
    assert "data.label_column" in script


def test_without_shtab_it_is_said_how_to_get_it(monkeypatch, cli):
    monkeypatch.setitem(sys.modules, "shtab", None)
    code, _, err = cli("--print-completion", "bash")
    assert (code, err) == (2, "hf-privacy: --print-completion needs shtab: pip install shtab\n")
