"""The `evaluate` modules: thin doors that give what the attacks and statistics give."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import evaluate
import numpy as np
import pytest
import yaml

import hf_privacy
from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.metrics import flatten_summary, load_metric, metric_names, zero_one
from hf_privacy.statistics import summarize

FOLDER = Path(hf_privacy.__file__).parent / "metrics"
NAMES = ["lira", "membership_inference", "rmia"]


@pytest.fixture(scope="module")
def metrics():
    return {name: load_metric(name) for name in NAMES}


def draw(seed=0, n_references=8, n_examples=300):
    generator = np.random.default_rng(seed)
    half = generator.random((n_references // 2, n_examples)) < 0.5
    reference_membership = np.stack([half, ~half], axis=1).reshape(n_references, n_examples)
    membership = generator.random(n_examples) < 0.4
    hardness = generator.normal(0, 2, n_examples)
    signal = hardness + membership + generator.normal(0, 0.5, n_examples)
    references = hardness + reference_membership + generator.normal(0, 0.5, (n_references, n_examples))
    return signal, membership, references, reference_membership


def probability(logit):
    return 1 / (1 + np.exp(-logit))


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
    with pytest.raises(
        InputError, match="there is no metric 'accuracy': pass one of lira, membership_inference, rmia"
    ):
        load_metric("accuracy")


def test_membership_inference_is_the_summary_made_flat(metrics):
    signal, membership, _, _ = draw()
    result = metrics["membership_inference"].compute(
        predictions=signal, references=membership.astype(int), fprs=[0.001, 0.01, 0.1], confidence=0.9
    )
    summary = summarize(signal, membership, fprs=[0.001, 0.01, 0.1], confidence=0.9)
    assert result["auc"] == summary["auc"]
    assert result["tpr_at_fpr_0.1"] == summary["tpr_at_fpr"][2]["tpr"]
    assert result["tpr_at_fpr_0.01_low"] == summary["tpr_at_fpr"][1]["low"]
    assert result["n_members"] + result["n_nonmembers"] == 300
    assert not [key for key in result if "0.001" in key]  # 180 non-members cannot resolve it


@pytest.mark.parametrize(
    "keywords", [{}, {"mode": "offline"}, {"variance": "per_example"}, {"variance": "shrunk", "fprs": (0.05,)}]
)
def test_lira_is_the_attack_summarized(metrics, keywords):
    signal, membership, references, reference_membership = draw()
    result = metrics["lira"].compute(
        predictions=signal,
        references=membership,
        reference_signals=references,
        reference_membership=reference_membership,
        **keywords,
    )
    fprs = keywords.pop("fprs", (1e-3, 1e-2, 1e-1))
    scores = attacks.lira(signal, references, reference_membership, **keywords)
    assert result == flatten_summary(summarize(scores, membership, fprs=fprs))


@pytest.mark.parametrize("keywords", [{}, {"mode": "offline", "a": 0.3, "gamma": 2.0}])
def test_rmia_is_the_attack_summarized(metrics, keywords):
    signal, membership, references, reference_membership = draw()
    generator = np.random.default_rng(1)
    population = {
        "population_prob": generator.random(100),
        "population_reference_probs": generator.random((8, 100)),
        "population_membership": np.zeros((8, 100), dtype=int),
        "population_index": np.full(300, -1),
    }
    result = metrics["rmia"].compute(
        predictions=probability(signal),
        references=membership,
        reference_probs=probability(references).tolist(),
        reference_membership=reference_membership.astype(int).tolist(),
        **population,
        **keywords,
    )
    population["population_membership"] = population["population_membership"] == 1
    arguments = (probability(signal), probability(references), reference_membership)
    scores = attacks.rmia(*arguments, **population, **keywords)
    assert result == flatten_summary(summarize(scores, membership))


@pytest.mark.parametrize("name", NAMES)
def test_trap_15_evaluate_load_finds_the_module_by_its_folder(name):
    module = evaluate.load(str(FOLDER / name))
    assert isinstance(module, evaluate.Metric)
    assert type(module).__module__.startswith("evaluate_modules.")  # a copy, not the package's own class


@pytest.mark.parametrize("name", NAMES)
def test_trap_15_source_is_what_evaluate_can_read(name):
    source = (FOLDER / name / f"{name}.py").read_text()
    imports = re.findall(r"^(?:from|import) .*", source, flags=re.MULTILINE)
    assert {"import datasets", "import evaluate"} <= set(imports)
    assert not [line for line in imports if line.startswith("from .") or "," in line]
    assert "import Metric" not in source  # evaluate.load would take that class for ours
    assert source.count("(evaluate.Metric)") == 1


@pytest.mark.parametrize("name", NAMES)
def test_trap_16_features_are_float64(metrics, name):
    assert {feature.dtype for feature in metrics[name].features.values()} == {"float64"}


def test_trap_16_scores_that_float32_would_tie_stay_apart(metrics):
    scores = 1.0 + np.arange(40) * 1e-12
    assert len(np.unique(scores.astype(np.float32))) == 1
    result = metrics["membership_inference"].compute(predictions=scores, references=np.arange(40) >= 20)
    assert result["auc"] == 1.0


def test_trap_16_members_and_nonmembers_may_differ_in_number(metrics):
    result = metrics["membership_inference"].compute(predictions=[3, 2, 1, 0], references=[1, 0, 0, 0])
    assert (result["n_members"], result["n_nonmembers"]) == (1, 3)


def test_trap_16_evaluate_save_takes_the_result(metrics, tmp_path):
    signal, membership, _, _ = draw()
    result = metrics["membership_inference"].compute(predictions=signal.astype(np.float32), references=membership)
    assert {type(value) for value in result.values()} <= {float, int}
    evaluate.save(tmp_path / "result.json", **result)
    assert (tmp_path / "result.json").is_file()


def test_trap_16_combine_forwards_keywords_to_every_module(metrics):
    signal, membership, references, reference_membership = draw()
    module = metrics["membership_inference"]
    twice = evaluate.combine({"first": module, "second": load_metric("membership_inference")})
    result = twice.compute(predictions=signal, references=membership, fprs=[0.1])
    assert result["first_tpr_at_fpr_0.1"] == result["second_tpr_at_fpr_0.1"]
    # A keyword that a module does not know is an error, never ignored.
    mixed = evaluate.combine({"first": load_metric("membership_inference"), "second": load_metric("lira")})
    with pytest.raises(TypeError, match="unexpected keyword argument 'reference_"):
        mixed.compute(
            predictions=signal,
            references=membership,
            reference_signals=references,
            reference_membership=reference_membership,
        )


def test_batches_add_up_to_one_computation(metrics):
    signal, membership, _, _ = draw()
    module = metrics["membership_inference"]
    whole = module.compute(predictions=signal, references=membership)
    for part in np.array_split(np.arange(300), 7):
        module.add_batch(predictions=signal[part], references=membership[part])
    assert module.compute() == whole


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([0.1, 0.2], [1, 2], "references hold 2: pass 1 for a member"),
        ([0.1, 0.2], [1, 0.5], "references hold 0.5"),
        ([0.1, float("nan")], [1, 0], "scores hold 1 NaN"),
        ([0.1, 0.2], [1, 1], "only members"),
    ],
)
def test_bad_input_is_refused_and_the_module_lives_on(predictions, references, message):
    module = load_metric("membership_inference")
    with pytest.raises(InputError, match=message):
        module.compute(predictions=predictions, references=references)
    assert module.compute(predictions=[0.9, 0.1], references=[1, 0])["auc"] == 1.0


def test_zero_one_refuses_words():
    with pytest.raises(InputError, match="references cannot be read as numbers"):
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


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_is_a_space(name):
    folder = FOLDER / name
    assert {"app.py", "README.md", "requirements.txt", f"{name}.py"} <= {path.name for path in folder.iterdir()}
    _, header, body = (folder / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(header)
    assert card["sdk"] == "gradio"
    assert card["app_file"] == "app.py"
    assert {"evaluate", "metric"} <= set(card["tags"])
    for heading in ("How to use", "Inputs", "Output", "Limitations", "Citation"):
        assert f"## {heading}" in body
    assert "hf-privacy" in (folder / "requirements.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_example_of_the_card_runs(name):
    code = re.search(r"```python\n(.*?)```", (FOLDER / name / "README.md").read_text(), flags=re.DOTALL).group(1)
    exec(compile(code, f"{name}/README.md", "exec"), {})


def load_app(name):
    namespace = {"__name__": "app", "__file__": str(FOLDER / name / "app.py")}
    exec(compile((FOLDER / name / "app.py").read_text(), namespace["__file__"], "exec"), namespace)
    return namespace


@pytest.mark.parametrize("name", NAMES)
def test_app_computes_its_own_example_without_gradio(name):
    app = load_app(name)
    result = app["compute"](app["EXAMPLE"])
    assert result["auc"] > 0.5
    assert any(key.startswith("tpr_at_fpr_") for key in result)


def test_app_refuses_what_is_no_json_object():
    app = load_app("membership_inference")
    for text, message in (("{", "are no JSON"), ("[1]", "lack predictions or references"), ("{}", "lack predictions")):
        with pytest.raises(InputError, match=message):
            app["compute"](text)


@pytest.mark.parametrize("name", NAMES)
def test_app_builds_where_gradio_is_installed(name):
    pytest.importorskip("gradio")
    assert load_app(name)["build"]() is not None
