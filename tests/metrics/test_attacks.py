"""Each attack's module gives what the attack's function gives, summarized, and refuses what it refuses."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.metrics import attack_summary


class Case(NamedTuple):
    """A call of a module, and the scores that it must summarize."""

    module: str
    predictions: np.ndarray
    keywords: dict[str, Any]
    scores: np.ndarray


def attack_r(t):
    keywords = {"reference_losses": t.reference_loss.tolist(), "reference_membership": t.reference_membership.tolist()}
    return Case("attack_r", t.loss, keywords, attacks.attack_r(t.loss, t.reference_loss, t.reference_membership))


def base_attack(t, **keywords):
    scores = attacks.base(-t.loss, -t.reference_loss, **keywords)
    return Case("base_attack", -t.loss, {"reference_log_probs": -t.reference_loss, **keywords}, scores)


def modified_entropy(t, **keywords):
    return Case("modified_entropy", t.loss, keywords, attacks.modified_entropy(t.loss, **keywords))


def quantile_regression(t, **keywords):
    given = {
        "features": t.features,
        "calibration_hinge": t.population_phi,
        "calibration_features": t.population_features,
    }
    scores = attacks.quantile_regression(t.phi, *given.values(), **keywords)
    return Case("quantile_regression", t.phi, {**given, **keywords}, scores)


def shadow_classifier(t, seed=0, **keywords):
    signals, references = np.stack([t.phi, t.loss], axis=1), np.stack([t.reference_phi, t.reference_loss], axis=2)
    scores = attacks.shadow_classifier(signals, references, t.reference_membership, seed=seed, **keywords)
    given = {"reference_signals": references, "reference_membership": t.reference_membership.astype(int)}
    return Case("shadow_classifier", signals, {**given, "seed": seed, **keywords}, scores)


def blind_baseline(t):
    keywords = {"n_folds": 4, "n_components": 1, "max_rows": 200, "seed": 1}
    scores = attacks.blind_baseline(t.features, t.membership, **keywords)
    return Case("blind_baseline", t.features, keywords, scores)


def lira(t, n_references=8, **keywords):
    references, membership = t.reference_phi[:n_references], t.reference_membership[:n_references]
    given = {"reference_signals": references.tolist(), "reference_membership": membership.astype(int).tolist()}
    return Case("lira", t.phi, {**given, **keywords}, attacks.lira(t.phi, references, membership, **keywords))


def input_curvature(t, **keywords):
    references, membership = -t.reference_phi, t.reference_membership
    given = {"reference_log_curvature": references.tolist(), "reference_membership": membership.astype(int).tolist()}
    scores = attacks.curvature(-t.phi, references, membership, **keywords)
    return Case("input_curvature", -t.phi, {**given, **keywords}, scores)


def rmia(t, **keywords):
    given = {
        "reference_probs": t.reference_prob,
        "reference_membership": t.reference_membership,
        "population_prob": 1 / (1 + np.exp(-t.population_phi)),
        "population_reference_probs": np.random.default_rng(1).random((8, 120)),
    }
    return Case("rmia", t.prob, {**given, **keywords}, attacks.rmia(t.prob, *given.values(), **keywords))


def label_only(t):
    return Case("label_only", t.correct[0], {}, t.correct[0].astype(float))


def label_only_augmented(t):
    keywords = {"augmented_correct": t.correct[1:].astype(int).tolist()}
    return Case("label_only", t.correct[0].astype(int), keywords, attacks.label_only_augmented(t.correct))


def label_only_with_references(t, **keywords):
    references = np.random.default_rng(2).random((8, 4, 300)) < 0.3 + 0.4 * t.reference_membership[:, np.newaxis]
    given = {"reference_correct": references, "reference_membership": t.reference_membership, **keywords}
    scores = attacks.label_only_augmented(t.correct, **given)
    return Case("label_only", t.correct[0], {"augmented_correct": t.correct[1:], **given}, scores)


def label_only_distance(t, **keywords):
    scores = attacks.label_only_distance(t.distance, t.correct[0], **keywords)
    return Case("label_only", t.correct[0], {"distance": t.distance, **keywords}, scores)


CASES = {
    "attack_p": lambda t: Case(
        "attack_p", t.loss, {"population_loss": t.population_loss}, attacks.attack_p(t.loss, t.population_loss)
    ),
    "attack_r": attack_r,
    "base_attack": base_attack,
    "base_attack, balanced": lambda t: base_attack(t, reference_membership=t.reference_membership, mode="balanced"),
    "base_attack, offline": lambda t: base_attack(t, reference_membership=t.reference_membership, mode="offline"),
    "base_calibration": lambda t: Case("base_calibration", t.phi, {"base_signal": t.base_phi}, t.phi - t.base_phi),
    "modified_entropy": modified_entropy,
    "modified_entropy, thresholds": lambda t: modified_entropy(t, labels=t.labels, thresholds=[-0.5, -1.0, -1.5]),
    "quantile_regression": lambda t: quantile_regression(t, estimator="linear"),
    "quantile_regression, boosted": lambda t: quantile_regression(t, quantiles=[0.2, 0.5, 0.8], holdout=0.4, seed=3),
    "shadow_classifier": shadow_classifier,
    "shadow_classifier, labels": lambda t: shadow_classifier(t, labels=t.labels, max_rows=500, seed=2),
    "label_only": label_only,
    "label_only, augmented": label_only_augmented,
    "label_only, references": label_only_with_references,
    "label_only, likelihood": lambda t: label_only_with_references(t, calibration="likelihood"),
    "label_only, distance": label_only_distance,
    "label_only, negative distance": lambda t: label_only_distance(t, misclassified="negative"),
    "blind_baseline": blind_baseline,
    "lira": lira,
    "lira, offline": lambda t: lira(t, mode="offline"),
    "lira, per example": lambda t: lira(t, variance="per_example", mode="offline"),
    "lira, shrunk": lambda t: lira(t, variance="shrunk", prior_degrees=3.0),
    "lira, global": lambda t: lira(t, n_references=2, variance="global"),
    "input_curvature": input_curvature,
    "input_curvature, nll": lambda t: input_curvature(t, form="nll", variance="shrunk", prior_degrees=4.0),
    "rmia": rmia,
    "rmia, offline": lambda t: rmia(
        t,
        mode="offline",
        a=0.3,
        gamma=2.0,
        population_membership=np.zeros((8, 120), dtype=bool),
    ),
}


@pytest.fixture(scope="module")
def known(table):
    made = {}

    def case(name) -> Case:
        if name not in made:
            made[name] = CASES[name](table)
        return made[name]

    return case


@pytest.mark.parametrize("case", CASES)
def test_module_is_the_attack_summarized(metrics, table, known, case):
    name, predictions, keywords, scores = known(case)
    result = metrics[name].compute(predictions=predictions, references=table.membership, **keywords)
    assert result == attack_summary(scores, table.membership, fprs=(1e-3, 1e-2, 1e-1), confidence=0.95)
    assert {type(value) for value in result.values()} <= {float, int}  # trap 16: evaluate.save takes nothing else


@pytest.mark.parametrize("case", CASES)
def test_rates_and_level_are_the_callers(metrics, table, known, case):
    name, predictions, keywords, scores = known(case)
    result = metrics[name].compute(
        predictions=predictions, references=table.membership, fprs=[0.05], confidence=0.8, **keywords
    )
    assert result == attack_summary(scores, table.membership, fprs=[0.05], confidence=0.8)
    assert result["confidence"] == 0.8


@pytest.mark.parametrize("name", sorted({case.split(",")[0] for case in CASES}))
@pytest.mark.parametrize("wrong", ["nan", "one class", "not 0/1", "unequal", "unknown argument", "fpr"])
def test_bad_input_is_refused_in_a_sentence_and_the_module_lives_on(metrics, table, known, name, wrong):
    _, predictions, keywords, scores = known(name)
    predictions, references, keywords = (
        np.array(predictions, dtype=float),
        table.membership.astype(float),
        {**keywords},
    )
    error, message = InputError, ""
    if wrong == "nan":
        predictions.flat[7] = np.nan
        message = "NaN|predictions holds nan"
    elif wrong == "one class":
        references[:] = 1
        message = "membership holds (only members|300 members and 0 non-members)"
    elif wrong == "not 0/1":
        references[7] = 2
        message = "references holds 2: pass 1 for a member"
    elif wrong == "unequal":
        error, message = ValueError, "Mismatch in the number of"
        references = references[1:]
    elif wrong == "unknown argument":
        error, message = TypeError, "unexpected keyword argument 'fpr'"
        keywords["fpr"] = 0.1
    else:
        message = "fprs holds 1.5: pass a number in"
        keywords["fprs"] = [1.5]
    with pytest.raises(error, match=message) as refused:
        metrics[name].compute(predictions=predictions, references=references, **keywords)
    assert "\n" not in str(refused.value)
    _, predictions, keywords, scores = known(name)
    again = metrics[name].compute(predictions=predictions, references=table.membership, **keywords)
    assert again == attack_summary(scores, table.membership, fprs=(1e-3, 1e-2, 1e-1), confidence=0.95)


@pytest.mark.parametrize(
    ("name", "keyword"),
    [
        ("attack_r", "reference_losses"),
        ("attack_r", "reference_membership"),
        ("base_attack", "reference_log_probs"),
        ("base_calibration", "base_signal"),
        ("quantile_regression", "features"),
        ("quantile_regression", "calibration_hinge"),
        ("shadow_classifier", "reference_signals"),
        ("shadow_classifier", "reference_membership"),
        ("label_only, augmented", "augmented_correct"),
        ("label_only, distance", "distance"),
        ("modified_entropy, thresholds", "labels"),
        ("lira", "reference_signals"),
        ("rmia", "reference_probs"),
    ],
)
def test_a_keyword_of_another_length_is_refused_with_its_name(metrics, table, known, name, keyword):
    module, predictions, keywords, _ = known(name)
    values = np.asarray(keywords[keyword])
    # One example less: examples are the last axis, of [K, N, F] the middle one, of features the first.
    axis = 1 if values.ndim == 3 else 0 if keyword == "features" else values.ndim - 1
    shorter = np.delete(values, 0, axis=axis)
    with pytest.raises(InputError, match=keyword if keyword != "calibration_hinge" else "calibration_") as refused:
        metrics[module].compute(
            predictions=predictions, references=table.membership, **{**keywords, keyword: shorter.tolist()}
        )
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        ("lira", {"mode": "both"}, "mode is 'both': pass 'online' or 'offline'"),
        ("lira", {"variance": "own"}, "variance is 'own': pass 'per_example' or"),
        ("rmia", {"mode": "offline"}, "a is "),
        ("base_attack", {"mode": "online"}, "mode is 'online': pass 'all' or 'balanced' or 'offline'"),
        ("base_attack", {"mode": "offline"}, "reference_membership is missing"),
        ("modified_entropy", {"labels": [0] * 300}, "thresholds is missing"),
        ("quantile_regression", {"estimator": "forest"}, "estimator is 'forest'"),
        ("shadow_classifier", {"classifier": "tree"}, "classifier is 'tree'"),
        ("blind_baseline", {"n_folds": 0}, "n_folds is 0"),
        ("blind_baseline", {"classifier": "tree"}, "classifier is 'tree'"),
        ("label_only, references", {"calibration": "mean"}, "calibration is 'mean'"),
        ("label_only, references", {"reference_membership": None}, "reference_membership is missing"),
        ("label_only, distance", {"misclassified": "one"}, "misclassified is 'one'"),
    ],
    ids=str,
)
def test_an_unknown_way_is_refused_with_those_there_are(metrics, table, known, name, keywords, message):
    module, predictions, given, _ = known(name)
    with pytest.raises(InputError, match=re.escape(message)):
        metrics[module].compute(predictions=predictions, references=table.membership, **{**given, **keywords})


def test_label_only_refuses_two_attacks_at_once_and_answers_that_are_neither(metrics, table):
    arguments = {"predictions": table.correct[0], "references": table.membership}
    with pytest.raises(InputError, match="distance comes with other answers: pass distance alone"):
        metrics["label_only"].compute(**arguments, augmented_correct=table.correct[1:], distance=table.distance)
    with pytest.raises(InputError, match="augmented_correct holds 3: pass 1 for a right answer and 0 for a wrong one"):
        metrics["label_only"].compute(**arguments, augmented_correct=3 * table.correct[1:])
    with pytest.raises(InputError, match=r"predictions holds 0\.5: pass 1 for a right answer"):
        metrics["label_only"].compute(**{**arguments, "predictions": np.full(300, 0.5)})


def test_trap_16_nested_signals_keep_their_float64(metrics, table):
    tied_in_float32 = 1.0 + 1e-12 * table.membership
    result = metrics["blind_baseline"].compute(predictions=tied_in_float32[:, None], references=table.membership)
    assert result["auc"] > 0.8  # ties would give 0.5
