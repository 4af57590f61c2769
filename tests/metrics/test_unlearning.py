"""The unlearning modules: thin doors to `hf_privacy.forgetting`, flat and plain, never a NaN."""

from __future__ import annotations

import json
import re

import evaluate
import numpy as np
import pytest

from hf_privacy import forgetting
from hf_privacy.errors import InputError
from hf_privacy.metrics import by_model, load_metric

GENERATOR = np.random.default_rng(0)
RETRAINED = GENERATOR.normal(size=(40, 8))  # one row per example
UNLEARNED = GENERATOR.normal(0.5, 1, (40, 6))
AFTER, BEFORE = GENERATOR.random(30) < 0.5, GENERATOR.random(30) < 0.9
OTHERS = GENERATOR.random((3, 30)) < 0.6
ROWS = {"forget": slice(0, 10), "retain": slice(10, 30), "test": slice(30, 40)}
SETS = np.repeat([0, 1, 2], [10, 20, 10])

ARGUMENTS = {
    "forgetting_quality": {"predictions": UNLEARNED, "references": RETRAINED},
    "forgetting_rate": {"predictions": AFTER, "references": BEFORE, "retrained": OTHERS},
    "klom": {"predictions": UNLEARNED, "references": RETRAINED},
    "memory_retention_rate": {"predictions": AFTER, "references": BEFORE, "retrained": OTHERS},
    "u_lira": {"predictions": UNLEARNED, "references": RETRAINED},
    "unlearning_degree": {"predictions": AFTER, "references": BEFORE, "retrained": OTHERS},
    "unlearning_gap": {
        "predictions": UNLEARNED > 0,
        "references": SETS,
        "retrained_correct": RETRAINED > 0,
        "scores": UNLEARNED,
        "retrained_scores": RETRAINED,
    },
}

LIKELIHOODS, RIGHT = -GENERATOR.random((30, 4)), -GENERATOR.random(30)
HITS = [GENERATOR.random(length) < 0.7 for length in GENERATOR.integers(1, 9, 30)]
ARGUMENTS |= {
    "tofu_forget_quality": {"predictions": np.exp(UNLEARNED), "references": np.exp(RETRAINED)},
    "tofu_utility": {"predictions": GENERATOR.uniform(0.1, 0.9, (30, 3)), "references": np.arange(30) % 3},
    "truth_ratio": {"predictions": LIKELIHOODS, "references": RIGHT},
    "verbatim_memorization": {"predictions": [hits.astype(float).tolist() for hits in HITS], "references": AFTER},
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_results_are_plain_numbers_that_evaluate_saves(name, metrics, tmp_path):
    result = metrics[name].compute(**ARGUMENTS[name])
    assert {type(value) for value in result.values()} <= {float, int}
    assert result["n_examples"] in (30, 40)
    json.dumps(result, allow_nan=False)
    evaluate.save(tmp_path / "result.json", **result)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_batches_add_up_to_one_computation(name, metrics):
    arguments = dict(ARGUMENTS[name])
    whole = metrics[name].compute(**arguments)
    predictions, references = arguments.pop("predictions"), arguments.pop("references")
    for part in np.array_split(np.arange(len(predictions)), 4):
        some = [predictions[row] for row in part]
        metrics[name].add_batch(predictions=some, references=references[part])
    assert metrics[name].compute(**arguments) == whole


@pytest.mark.parametrize("name", ["forgetting_quality", "klom"])
def test_tables_are_those_of_the_function_turned(name, metrics):
    expected = getattr(forgetting, name)(UNLEARNED.T, RETRAINED.T, n_splits=3, seed=2)
    expected.pop("attacks", None)
    assert metrics[name].compute(**ARGUMENTS[name], n_splits=3, seed=2) == expected


def test_u_lira_is_the_summary_of_the_function(metrics):
    result = metrics["u_lira"].compute(**ARGUMENTS["u_lira"], variance="shrunk", fprs=[0.1])
    summary = forgetting.u_lira(UNLEARNED.T, RETRAINED.T, variance="shrunk", fprs=[0.1]).summary
    assert (result["auc"], result["auc_low"]) == (summary["auc"], summary["auc_low"])
    assert result["tpr_at_fpr_0.1_high"] == summary["tpr_at_fpr"][0]["high"]
    assert (result["n_pairs"], result["n_members"]) == (6, 240)


@pytest.mark.parametrize("name", ["forgetting_rate", "memory_retention_rate"])
@pytest.mark.parametrize("reading", ["accuracy", "membership"])
def test_rates_are_those_of_the_functions_beside_retraining(name, reading, metrics):
    rate = getattr(forgetting, name)
    result = metrics[name].compute(**ARGUMENTS[name], reading=reading)
    assert result[name] == rate(AFTER, BEFORE, reading=reading)
    assert result["retrained"] == pytest.approx(np.mean([rate(row, BEFORE) for row in OTHERS]))
    assert result["gap"] == pytest.approx(result[name] - result["retrained"])
    assert result["retrained_low"] < result["retrained"] < result["retrained_high"]
    assert (result["n_before"], result["n_after"], result["n_retrained"]) == (BEFORE.sum(), AFTER.sum(), 3)


def test_a_perfect_unlearner_has_no_gap_of_rates(metrics):
    result = metrics["forgetting_rate"].compute(predictions=AFTER, references=BEFORE, retrained=AFTER)
    assert result["gap"] == 0.0


def test_degree_is_that_of_the_function(metrics):
    result = metrics["unlearning_degree"].compute(**ARGUMENTS["unlearning_degree"])
    expected = forgetting.unlearning_degree(BEFORE, AFTER, OTHERS)
    assert result["unlearning_degree"] == expected["unlearning_degree"] == pytest.approx(BEFORE.mean() - AFTER.mean())
    assert result["ceiling"] == expected["ceiling"]


def gap_figures(table, scores):
    correct = table > 0
    return [
        forgetting.unlearning_figures(
            *(correct[rows, model] for rows in ROWS.values()),
            **{f"{group}_scores": scores[rows, model] for group, rows in ROWS.items()},
        )
        for model in range(table.shape[1])
    ]


def test_gap_is_that_of_the_function_flat(metrics):
    result = metrics["unlearning_gap"].compute(**ARGUMENTS["unlearning_gap"])
    expected = forgetting.unlearning_gap(gap_figures(UNLEARNED, UNLEARNED), gap_figures(RETRAINED, RETRAINED))
    for key in ("avg_gap", "avg_gap_low", "avg_gap_of_means", "avg_gap_in_noise", "n_unlearned", "n_retrained"):
        assert result[key] == expected[key]
    assert result["null_avg_gap"] == expected["null"]["avg_gap"]
    assert result["null_ta_gap"] == expected["null"]["figures"]["TA"]
    assert result["ua"] == expected["figures"]["UA"]["unlearned"]
    assert result["mia_gap_in_noise"] == expected["figures"]["MIA"]["gap_in_noise"]


def test_gap_takes_stored_logs_in_the_place_of_retrained_models(metrics):
    arguments = {key: value for key, value in ARGUMENTS["unlearning_gap"].items() if "retrained" not in key}
    logs = json.loads(json.dumps(gap_figures(RETRAINED, RETRAINED)))
    result = metrics["unlearning_gap"].compute(**arguments, retrained_figures=logs)
    assert result == metrics["unlearning_gap"].compute(**ARGUMENTS["unlearning_gap"])


def test_gap_without_scores_is_over_three_figures_and_a_single_model_has_no_interval(metrics):
    result = metrics["unlearning_gap"].compute(
        predictions=UNLEARNED[:, :1] > 0, references=SETS, retrained_correct=RETRAINED[:, :1] > 0
    )
    assert not {key for key in result if "mia" in key or "low" in key or "null" in key}
    assert result["avg_gap"] == pytest.approx(np.mean([abs(result[f"{name}_gap"]) for name in ("ua", "ra", "ta")]))


def test_forget_quality_is_that_of_the_function(metrics):
    result = metrics["tofu_forget_quality"].compute(**ARGUMENTS["tofu_forget_quality"])
    assert result == forgetting.tofu_forget_quality(np.exp(UNLEARNED.T), np.exp(RETRAINED.T))


def test_utility_is_the_functions_of_the_means_of_each_set(metrics):
    rows, of_set = ARGUMENTS["tofu_utility"].values()
    result = metrics["tofu_utility"].compute(**ARGUMENTS["tofu_utility"])
    scores = np.column_stack([rows[:, :2], 1 - rows[:, 2]])
    means = np.array([scores[of_set == number].mean(axis=0) for number in range(3)])
    assert result["utility"] == pytest.approx(forgetting.tofu_utility(*means.T))
    assert result["world_facts_rouge_low"] < result["world_facts_rouge"] == pytest.approx(means[2, 1])


def test_truth_ratio_is_the_mean_score_and_groups_widen_its_interval(metrics):
    scores = forgetting.truth_ratio_scores(forgetting.truth_ratio(RIGHT, LIKELIHOODS), part="forget")
    rows = metrics["truth_ratio"].compute(**ARGUMENTS["truth_ratio"])
    order = np.argsort(scores)
    groups = np.empty(30, dtype=int)
    groups[order] = np.arange(30) // 6  # alike within a group
    grouped = metrics["truth_ratio"].compute(**ARGUMENTS["truth_ratio"], groups=groups)
    assert rows["truth_ratio"] == grouped["truth_ratio"] == pytest.approx(scores.mean())
    assert grouped["truth_ratio_low"] < rows["truth_ratio_low"] < scores.mean() < rows["truth_ratio_high"]


def test_verbatim_memorization_is_the_mean_over_texts(metrics):
    result = metrics["verbatim_memorization"].compute(**ARGUMENTS["verbatim_memorization"])
    assert result["exact_memorization"] == pytest.approx(np.mean([hits.mean() for hits in HITS]))
    strength = [next(1 - k / len(hits) for k in range(len(hits) + 1) if hits[k:].all()) for hits in HITS]
    assert result["extraction_strength"] == pytest.approx(np.mean(strength))
    assert result["n_groups"] == 2


def test_by_model_turns_rows_of_examples_and_refuses_others():
    assert by_model("predictions", [[1, 2], [3, 4], [5, 6]]).tolist() == [[1, 3, 5], [2, 4, 6]]
    with pytest.raises(InputError, match="predictions has shape"):
        by_model("predictions", [1, 2])


@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        ("forgetting_rate", {"references": np.zeros(30)}, "before holds no 1"),
        ("tofu_utility", {"references": np.zeros(30)}, "references must hold 0, 1 and 2"),
        ("tofu_utility", {"predictions": np.ones((30, 2))}, "predictions has shape (30, 2)"),
        ("truth_ratio", {"predictions": -LIKELIHOODS}, "perturbed goes up to"),
        ("verbatim_memorization", {"predictions": [[0.5]] * 30}, "predictions must hold 0 and 1 alone"),
        ("forgetting_rate", {"reading": "both"}, "reading is 'both'"),
        ("memory_retention_rate", {"predictions": np.full(30, 0.5)}, "after holds 0.5"),
        ("unlearning_degree", {"retrained": OTHERS[:, :4]}, "retrained has 4 columns for 30 examples"),
        ("klom", {"predictions": np.full((40, 2), np.nan)}, "unlearned holds 80 NaN"),
        ("klom", {"predictions": [[1.0]] * 39 + [[1.0, 2.0]]}, "predictions is ragged"),
        ("forgetting_quality", {"references": RETRAINED[:, :3]}, "retrained has 3 rows: pass at least 4 models"),
        ("u_lira", {"predictions": UNLEARNED > 0, "references": RETRAINED > 0}, "hold 0 and 1 alone"),
        ("unlearning_gap", {"references": SETS + 1}, "references hold 3: pass 0 for forget"),
        ("unlearning_gap", {"references": np.minimum(SETS, 1)}, "references hold no 2: pass at least one test"),
        ("unlearning_gap", {"retrained_correct": None}, "pass one of retrained_correct and retrained_figures"),
        ("unlearning_gap", {"retrained_scores": None}, "pass scores and retrained_scores together"),
        ("unlearning_gap", {"retrained_correct": RETRAINED[:7] > 0}, "retrained_correct has 7 rows and references 40"),
        ("unlearning_gap", {"scores": UNLEARNED[:, :2]}, "scores has 2 columns and predictions 6"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_bad_input_is_refused_in_a_sentence_and_the_module_lives_on(name, keywords, message):
    module = load_metric(name)
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        module.compute(**{**ARGUMENTS[name], **keywords})
    assert "\n" not in str(refused.value)
    assert module.compute(**ARGUMENTS[name])["n_examples"] in (30, 40)
