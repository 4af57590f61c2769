"""`epsilon_lower_bound`: the bounds of `hf_privacy.statistics`, and what they rest on."""

from __future__ import annotations

import re

import evaluate
import numpy as np
import pytest

from hf_privacy import statistics
from hf_privacy.errors import InputError


@pytest.fixture(scope="module")
def canaries():
    generator = np.random.default_rng(0)
    coins = generator.random(1000) < 0.5
    return generator.normal(size=1000) + 2 * coins, coins


@pytest.fixture
def compute(metrics, canaries):
    scores, coins = canaries
    return lambda **keywords: metrics["epsilon_lower_bound"].compute(predictions=scores, references=coins, **keywords)


@pytest.mark.parametrize(
    ("method", "keywords", "assumed"),
    [
        ("clopper_pearson", {}, {"correction": "split"}),
        ("clopper_pearson", {"delta": 1e-5, "seed": 3}, {"correction": "split"}),
        ("clopper_pearson", {"correction": "bonferroni"}, {"correction": "bonferroni", "n_thresholds": 10}),
        ("clopper_pearson", {"correction": "bonferroni", "n_thresholds": 4}, {}),
        ("clopper_pearson", {"threshold": 2.0}, {}),
        ("clopper_pearson", {"threshold": 2.0, "confidence": 0.8}, {}),
        ("gdp", {"delta": 1e-5}, {"correction": "split"}),
        ("one_run", {"n_guesses": 100}, {"sides": "both"}),
        ("one_run", {"n_guesses": [100, 200], "delta": 1e-5, "sides": "in"}, {}),
        ("one_run_fdp", {"n_guesses": 100, "delta": 1e-5}, {"sides": "both"}),
    ],
    ids=str,
)
def test_bound_is_that_of_statistics_with_what_it_assumed(compute, canaries, method, keywords, assumed, tmp_path):
    result = compute(method=method, **keywords)
    scores, coins = canaries
    settings = {"delta": 0.0, "confidence": 0.95, "seed": 0, **keywords}
    expected = getattr(statistics, f"epsilon_{method}")(scores, coins, **settings)
    assert expected > 0
    counts = {"n_members": int(coins.sum()), "n_nonmembers": int((~coins).sum())}
    assert result == {"epsilon_lower": expected, "method": method, **counts, **settings, **assumed}
    evaluate.save(tmp_path / "result.json", **result)  # trap 16


def test_the_default_is_a_corrected_bound(compute):
    result = compute()
    assert (result["method"], result["correction"], result["delta"]) == ("clopper_pearson", "split", 0.0)


def test_peer_error_the_best_threshold_uncorrected_is_refused(compute):
    with pytest.raises(InputError, match="correction"):
        compute(correction="none")


def test_peer_error_the_best_of_several_guess_counts_pays_for_the_choice(compute):
    several = compute(method="one_run", n_guesses=[50, 100, 200, 400])["epsilon_lower"]
    assert several < max(compute(method="one_run", n_guesses=n)["epsilon_lower"] for n in (50, 100, 200, 400))


def test_scores_that_say_nothing_give_zero(metrics, canaries):
    for method in ({"method": "clopper_pearson"}, {"method": "one_run", "n_guesses": 100}):
        result = metrics["epsilon_lower_bound"].compute(predictions=np.ones(1000), references=canaries[1], **method)
        assert result["epsilon_lower"] == 0.0


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"method": "best"}, "method is 'best': pass one of clopper_pearson, gdp, one_run, one_run_fdp"),
        ({"n_guesses": 100}, "n_guesses is no argument of method 'clopper_pearson'"),
        ({"method": "gdp", "delta": 1e-5, "sides": "in"}, "sides is no argument of method 'gdp'"),
        (
            {"method": "one_run", "n_guesses": 10, "correction": "split"},
            "correction is no argument of method 'one_run'",
        ),
        ({"method": "one_run", "n_guesses": 10, "threshold": 0.0}, "threshold is no argument of method 'one_run'"),
        ({"method": "one_run"}, "n_guesses is missing: method 'one_run' needs it"),
        ({"method": "one_run", "n_guesses": 1002}, "n_guesses is 1,002 for 1,000 canaries"),
        ({"method": "one_run_fdp", "n_guesses": 10}, "delta is 0"),
        ({"method": "gdp"}, "delta is 0"),
        ({"delta": 1.0}, "delta is 1.0: pass a number in [0, 1)"),
        ({"confidence": 95}, "confidence is 95: pass a number in (0, 1)"),
        ({"correction": "holm"}, "correction is 'holm'"),
        ({"threshold": 1.0, "correction": "split"}, "threshold comes with a correction"),
        ({"n_thresholds": 4}, "n_thresholds comes without correction='bonferroni'"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused_in_a_sentence(compute, keywords, message):
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        compute(**keywords)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([0.1, np.nan, 0.3], [1, 0, 1], "scores holds 1 NaN"),
        ([0.1, 0.2, 0.3], [1, 1, 1], "only members"),
        ([0.1, 0.2, 0.3], [1, 0, 2], "references holds 2"),
        ([0.1, 0.2, 0.3], [1, 0], "Mismatch in the number of"),
    ],
    ids=str,
)
def test_bad_scores_are_refused_and_the_module_lives_on(metrics, predictions, references, message):
    module = metrics["epsilon_lower_bound"]
    with pytest.raises(ValueError, match=message):
        module.compute(predictions=predictions, references=references, threshold=0.0)
    result = module.compute(predictions=[0.9, 0.1], references=[1, 0], threshold=0.5)
    assert (result["n_members"], result["n_nonmembers"]) == (1, 1)
