"""An audit's figures reach every tracker that transformers knows, and a tracker that fails costs nothing."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from transformers import TrainerCallback, TrainingArguments

from hf_privacy.auditing import tracking

REPORT = {
    "attacks": [
        {
            "name": "lira",
            "auc": 0.8,
            "auc_low": 0.7,
            "auc_high": 0.9,
            "tpr_at_fpr": [
                {"fpr": 0.01, "tpr": 0.3, "low": 0.2, "high": 0.4},
                {"fpr": 1e-05, "tpr": None, "low": None, "high": None},
            ],
        }
    ],
    "utility": {"member_loss": 0.5, "nonmember_accuracy": {"value": 0.6, "low": 0.5, "high": 0.7}},
    "epsilon": {"upper": None, "lower": 0.4},
}
SECTION = {
    "figures": {
        "before": [{"name": "UA", "value": 0.0, "low": 0.0, "high": 0.1}],
        "after": [{"name": "UA", "value": 0.9, "low": 0.8, "high": 1.0}],
        "retrained": None,
    },
    "gap": {"average": 0.02},
}


class Recorded(TrainerCallback):
    """A tracker that keeps what it gets."""

    got: list

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.got.append(("args", args.to_dict(), args.to_json_string(), args.run_name))

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.got.append(("logs", state.global_step, logs))


class Failing(TrainerCallback):
    """A tracker whose server is not there."""

    def on_log(self, args, state, control, logs=None, **kwargs):
        raise ConnectionError("no route")


class Watching(TrainerCallback):
    """One that measures the training itself."""

    def on_train_begin(self, args, state, control, **kwargs):
        raise AssertionError("it is started")


def test_the_figures_are_those_of_the_report_with_the_ends_of_their_intervals():
    found = tracking.audit_figures(REPORT)
    assert found["eval_audit/lira/auc"] == 0.8
    assert found["eval_audit/lira/auc_low"] == 0.7
    assert found["eval_audit/lira/tpr_at_fpr_0.01_high"] == 0.4
    assert found["eval_audit/nonmember_accuracy_low"] == 0.5
    assert found["eval_audit/member_loss"] == 0.5
    assert found["eval_audit/epsilon_lower"] == 0.4
    assert len(found) == 11  # what was not resolved is left out
    assert tracking.unlearning_figures(SECTION) == {
        **{f"eval_unlearning/before/UA{end}": value for end, value in (("", 0.0), ("_low", 0.0), ("_high", 0.1))},
        **{f"eval_unlearning/after/UA{end}": value for end, value in (("", 0.9), ("_low", 0.8), ("_high", 1.0))},
        "eval_unlearning/gap": 0.02,
    }


@pytest.fixture
def trackers(monkeypatch):
    """Stand-ins for what transformers makes of ``report_to``."""

    def use(*kinds):
        monkeypatch.setattr(tracking, "get_reporting_integration_callbacks", lambda report_to: list(kinds))

    return use


def test_trackers_get_the_figures_the_step_and_the_name_and_no_setting(trackers, tmp_path):
    Recorded.got = []
    trackers(Watching, Recorded)
    args = TrainingArguments(str(tmp_path / "secret"), run_name="mine", use_cpu=True)
    tracking.send_figures({"eval_audit/lira/auc": 0.8}, args, step=60)
    assert Recorded.got == [("args", {}, "{}", "mine"), ("logs", 60, {"eval_audit/lira/auc": 0.8})]
    assert "secret" not in json.dumps(Recorded.got)
    assert args.to_dict()["output_dir"].endswith("secret")  # the training's own are as they were


def test_a_tracker_that_fails_is_warned_of_and_the_others_get_theirs(trackers, tmp_path):
    Recorded.got = []
    trackers(Failing, Recorded)
    args = TrainingArguments(str(tmp_path), use_cpu=True)
    with pytest.warns(UserWarning, match=r"did not reach Failing \(ConnectionError: no route\); they are in"):
        tracking.send_figures({"eval_audit/lira/auc": 0.8}, args)
    assert len(Recorded.got) == 2


def test_a_run_of_weights_and_biases_is_ended():
    ended = []
    library = SimpleNamespace(run=object(), finish=lambda: ended.append(True))
    tracking.end_run(SimpleNamespace(_wandb=library))
    tracking.end_run(SimpleNamespace(_wandb=SimpleNamespace(run=None)))
    tracking.end_run(SimpleNamespace())
    assert ended == [True]


def test_tensorboard_has_them_in_the_run_s_folder(tmp_path):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    args = TrainingArguments(str(tmp_path), report_to="tensorboard", use_cpu=True)
    tracking.send_figures(tracking.audit_figures(REPORT), args, step=60)
    (file,) = tmp_path.rglob("events*")
    events = reader.EventAccumulator(str(file)).Reload()
    (found,) = events.Scalars("eval/audit/lira/auc_high")
    assert (found.step, round(found.value, 6)) == (60, 0.9)
    assert str(tmp_path).encode() not in file.read_bytes()
