"""The `evaluate` modules: thin doors that give what the attacks and statistics give."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import evaluate
import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.metrics import flatten_summary, load_metric, metric_descriptions, metric_folder, metric_names, zero_one
from hf_privacy.statistics import bootstrap_interval, summarize, summarize_slices

NAMES = [
    "attack_p",
    "attack_r",
    "base_attack",
    "base_calibration",
    "blind_baseline",
    "epsilon_lower_bound",
    "exposure",
    "extraction",
    "forgetting_quality",
    "forgetting_rate",
    "input_curvature",
    "klom",
    "label_only",
    "lira",
    "lowercase",
    "membership_inference",
    "memorization",
    "memory_retention_rate",
    "min_k",
    "min_k_plus_plus",
    "modified_entropy",
    "quantile_regression",
    "recall",
    "reference_difference",
    "rmia",
    "robust_accuracy",
    "shadow_classifier",
    "surp",
    "tofu_forget_quality",
    "tofu_utility",
    "token_lira",
    "truth_ratio",
    "u_lira",
    "unlearning_degree",
    "unlearning_gap",
    "verbatim_memorization",
    "window_comparison",
    "zlib",
]


def test_metric_names_are_the_folders():
    assert metric_names() == NAMES


def test_names_are_listed_without_importing_evaluate():
    code = "import sys, hf_privacy.metrics as m; m.metric_names(); sys.exit('evaluate' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_score_or_membership_is_written_to_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path)
    module = load_metric("membership_inference")
    module.add_batch(predictions=[0.9, 0.1], references=[1, 0])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert module.compute()["auc"] == 1.0


def test_unknown_name_is_refused_with_the_list():
    with pytest.raises(InputError, match=f"there is no metric 'accuracy': pass one of {', '.join(NAMES)}$"):
        load_metric("accuracy")


def test_each_module_has_a_line_about_it():
    assert list(metric_descriptions()) == NAMES
    assert all(line.endswith(".") and "\n" not in line for line in metric_descriptions().values())


# ---- membership_inference ----


def test_membership_inference_is_the_summary_made_flat(metrics, table):
    result = metrics["membership_inference"].compute(
        predictions=table.phi, references=table.membership.astype(int), fprs=[0.001, 0.01, 0.1], confidence=0.9
    )
    summary = summarize(table.phi, table.membership, fprs=[0.001, 0.01, 0.1], confidence=0.9)
    assert result["auc"] == summary["auc"]
    assert result["tpr_at_fpr_0.1"] == summary["tpr_at_fpr"][2]["tpr"]
    assert result["tpr_at_fpr_0.01_low"] == summary["tpr_at_fpr"][1]["low"]
    assert result["n_members"] + result["n_nonmembers"] == 300
    assert not [key for key in result if "0.001" in key]  # fewer than 1,000 non-members cannot resolve it


def test_membership_inference_summarizes_each_group_by_itself(metrics, table, tmp_path):
    groups = np.where(np.arange(300) < 10, -1, table.labels)
    result = metrics["membership_inference"].compute(
        predictions=table.phi, references=table.membership, fprs=[0.1], groups=groups, min_examples=20
    )
    slices = summarize_slices(table.phi, table.membership, groups, fprs=[0.1], min_examples=20)
    assert result["groups"] == {str(group): flatten_summary(summary) for group, summary in slices.items()}
    assert list(result["groups"]) == ["-1", "0", "1", "2"]
    assert "a slice needs at least 20" in result["groups"]["-1"]["reason"]
    assert result["groups"]["0"]["tpr_at_fpr_0.1"] > 0.1
    assert {key: value for key, value in result.items() if key != "groups"} == metrics["membership_inference"].compute(
        predictions=table.phi, references=table.membership, fprs=[0.1]
    )
    evaluate.save(tmp_path / "result.json", **result)


def test_membership_inference_gives_bootstrap_intervals_of_what_the_examples_resolve(metrics, table):
    settings = {"n_resamples": 100, "confidence": 0.9, "seed": 3}
    result = metrics["membership_inference"].compute(
        predictions=table.phi, references=table.membership, fprs=[0.001, 0.1], **settings
    )
    ends = bootstrap_interval(table.phi, table.membership, statistic="tpr_at_fpr", fpr=0.1, **settings)
    assert (result["tpr_at_fpr_0.1_bootstrap_low"], result["tpr_at_fpr_0.1_bootstrap_high"]) == ends
    assert result["auc_bootstrap_low"] < result["auc"] < result["auc_bootstrap_high"]
    assert not [key for key in result if "0.001" in key]
    assert {type(value) for value in result.values()} <= {float, int}


def test_groups_of_another_number_are_refused(metrics, table):
    with pytest.raises(InputError, match="groups have shape"):
        metrics["membership_inference"].compute(predictions=table.phi, references=table.membership, groups=[1, 2])


# ---- what evaluate asks ----


@pytest.mark.parametrize("name", NAMES)
def test_trap_15_evaluate_load_finds_the_module_by_its_folder(name):
    module = evaluate.load(str(metric_folder(name)))
    assert isinstance(module, evaluate.Metric)
    assert type(module).__module__.startswith("evaluate_modules.")  # a copy, not the package's own class


@pytest.mark.parametrize("name", NAMES)
def test_trap_15_source_is_what_evaluate_can_read(name):
    source = (metric_folder(name) / f"{name}.py").read_text()
    code = source.split('"""', 2)[2]
    imports = re.findall(r"^(?:from|import) .*", code, flags=re.MULTILINE)
    assert "import evaluate" in imports
    assert not [line for line in imports if line.startswith("from .") or "," in line]
    assert "import Metric" not in source  # evaluate.load would take that class for ours
    assert len(re.findall(r"\((?:CheckedInputs|AttackMetric|TokenAttackMetric), evaluate\.Metric\)", source)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_trap_16_features_are_float64(metrics, name):
    features = metrics[name].features.values()
    assert {getattr(feature, "feature", feature).dtype for feature in features} == {"float64"}


def test_trap_16_scores_that_float32_would_tie_stay_apart(metrics):
    scores = 1.0 + np.arange(40) * 1e-12
    assert len(np.unique(scores.astype(np.float32))) == 1
    result = metrics["membership_inference"].compute(predictions=scores, references=np.arange(40) >= 20)
    assert result["auc"] == 1.0


def test_trap_16_members_and_nonmembers_may_differ_in_number(metrics):
    result = metrics["membership_inference"].compute(predictions=[3, 2, 1, 0], references=[1, 0, 0, 0])
    assert (result["n_members"], result["n_nonmembers"]) == (1, 3)


def test_trap_16_evaluate_save_takes_the_result(metrics, table, tmp_path):
    result = metrics["membership_inference"].compute(
        predictions=table.phi.astype(np.float32), references=table.membership
    )
    assert {type(value) for value in result.values()} <= {float, int}
    evaluate.save(tmp_path / "result.json", **result)
    assert (tmp_path / "result.json").is_file()


def test_trap_16_combine_forwards_keywords_to_every_module(metrics, table):
    module = metrics["membership_inference"]
    twice = evaluate.combine({"first": module, "second": load_metric("membership_inference")})
    result = twice.compute(predictions=table.phi, references=table.membership, fprs=[0.1])
    assert result["first_tpr_at_fpr_0.1"] == result["second_tpr_at_fpr_0.1"]
    # A keyword that a module does not know is an error, never ignored.
    mixed = evaluate.combine({"first": load_metric("membership_inference"), "second": load_metric("lira")})
    with pytest.raises(TypeError, match="unexpected keyword argument 'reference_"):
        mixed.compute(
            predictions=table.phi,
            references=table.membership,
            reference_signals=table.reference_phi,
            reference_membership=table.reference_membership,
        )


def test_batches_add_up_to_one_computation(metrics, table):
    module = metrics["membership_inference"]
    whole = module.compute(predictions=table.phi, references=table.membership)
    for part in np.array_split(np.arange(300), 7):
        module.add_batch(predictions=table.phi[part], references=table.membership[part])
    assert module.compute() == whole


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([0.1, 0.2], [1, 2], "references holds 2: pass 1 for a member"),
        ([0.1, 0.2], [1, 0.5], "references holds 0.5"),
        ([0.1, float("nan")], [1, 0], "scores holds 1 NaN"),
        ([0.1, 0.2], [1, 1], "only members"),
    ],
)
def test_bad_input_is_refused_and_the_module_lives_on(predictions, references, message):
    module = load_metric("membership_inference")
    with pytest.raises(InputError, match=message):
        module.compute(predictions=predictions, references=references)
    assert module.compute(predictions=[0.9, 0.1], references=[1, 0])["auc"] == 1.0


def test_zero_one_refuses_words():
    with pytest.raises(InputError, match="references has dtype <U"):
        zero_one("references", ["member", "non-member"])


def test_metrics_load_offline_without_a_network(tmp_path):
    code = (
        "import socket\n"
        "def refuse(*arguments, **keywords): raise AssertionError('a socket was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "import hf_privacy\n"
        f"for name in {NAMES}: hf_privacy.load_metric(name)\n"
        "metric = hf_privacy.load_metric('membership_inference')\n"
        "print(metric.compute(predictions=[0.9, 0.1], references=[1, 0])['auc'])\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "1.0"), done.stderr
