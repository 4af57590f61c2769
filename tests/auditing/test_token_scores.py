"""What holds of every attack on the tokens of a language model, on tokens whose leakage is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hf_privacy import attacks
from hf_privacy.attack_table import ATTACKS, is_control
from hf_privacy.auditing import extras
from hf_privacy.auditing.attack import attack_all
from hf_privacy.auditing.examinations.membership.budgets import over_budgets
from hf_privacy.auditing.scores import attack_scores
from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.targets import leave_one_out_table
from hf_privacy.auditing.token_scores import TOKEN_SCORES, length_bins
from hf_privacy.auditing.tokens import TokenTable
from hf_privacy.recipe import AuditSettings
from hf_privacy.references import plan_references
from hf_privacy.signals import TokenSignals
from hf_privacy.statistics import auc

# Without classes: what a report of a language model holds at full depth, in its order.
MADE = [
    "loss", "attack_p", "base_calibration", "loss_sum", "min_k", "min_k_plus_plus", "surp", "zlib", "lowercase",
    "recall", "window_comparison", "token_quantile_regression", "length", "lira", "lira_offline", "rmia",
    "rmia_offline", "attack_r", "base", "reference_difference", "window_comparison_references", "token_lira",
    "token_lira_offline", "combined_features",
]  # fmt: skip
LEAKING = [name for name in MADE if not is_control(name)]
CALIBRATED = ("base_calibration", "window_comparison", "lira", "rmia", "base", "reference_difference", "token_lira")
POOL, POPULATION, VOCABULARY = 400, 300, 20
WORDS = ("alder", "Birch", "cedar", "Douglas fir", "elm", "fig", "ginkgo", "hazel")


def token_table(*, effect=0.6, seed=0, n_references=8, population=POPULATION, longest=24, pool=POOL) -> SignalTable:
    """Rows of tokens, each of a difficulty of its own; training on a row makes its tokens likelier by ``effect``."""
    rng = np.random.default_rng(seed)
    n_rows = pool + population
    plan = plan_references(np.zeros(pool, dtype=int), n_models=n_references + 2, seed=seed)
    membership = np.zeros((n_references + 2, n_rows), dtype=bool)
    membership[:, :pool] = plan.membership
    lengths = rng.integers(3, longest + 1, n_rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    truth = rng.integers(VOCABULARY, size=offsets[-1])
    logits = rng.normal(0.0, 1.5, (offsets[-1], VOCABULARY))
    logits[np.arange(offsets[-1]), truth] += np.repeat(rng.normal(1.0, 1.0, n_rows), lengths)

    def tokens(trained: np.ndarray) -> TokenSignals:
        moved = logits + rng.normal(0.0, 0.3, logits.shape)
        moved[np.arange(offsets[-1]), truth] += effect * np.repeat(trained, lengths)
        log_probs = moved - np.log(np.exp(moved).sum(axis=1, keepdims=True))
        mean = (np.exp(log_probs) * log_probs).sum(axis=1)
        variance = (np.exp(log_probs) * (log_probs - mean[:, None]) ** 2).sum(axis=1)
        flat = (log_probs[np.arange(offsets[-1]), truth], mean, variance)
        return TokenSignals(*(values.astype(np.float32) for values in flat), log_probs.argmax(1) == truth, offsets)

    models = [tokens(trained) for trained in membership]
    signals = [model.examples() for model in models]
    base = tokens(np.zeros(n_rows, dtype=bool))
    other = {"lowercase_loss": 1.0, "recall_loss": 1.0}
    extras = {name: factor * base.examples()["loss"] * rng.uniform(0.9, 1.1, n_rows) for name, factor in other.items()}
    return SignalTable(
        target={name: values[None] for name, values in signals[0].items()},
        membership=membership[0, :pool],
        references={name: np.stack([model[name] for model in signals[2:]])[None] for name in signals[0]},
        reference_membership=membership[2:],
        base={name: values[None] for name, values in base.examples().items()},
        extras=extras,
        tokens=TokenTable(
            offsets, models[0], base, models[2:], texts=[" ".join(rng.choice(WORDS, length)) for length in lengths]
        ),
    )


@pytest.fixture(scope="module")
def table() -> SignalTable:
    return token_table()


@pytest.fixture(scope="module")
def made(table):
    return {attack.name: attack for attack in attack_scores(table)}


def areas(table: SignalTable, names=tuple(ATTACKS)) -> dict[str, float]:
    return {attack.name: auc(attack.scores, table.membership) for attack in attack_scores(table, names)}


def of_rows(table: SignalTable, kept: np.ndarray, *, step: int = 1) -> SignalTable:
    """The table with some of the pool's rows, in this order, and its population, turned round by ``step``."""
    columns = np.concatenate([kept, np.arange(table.n_pool, len(table.tokens.offsets) - 1)[::step]])

    def cut(signals):
        return {name: values[..., columns] for name, values in signals.items()}

    target = table.tokens.target.rows(columns)
    return SignalTable(
        target=cut(table.target), membership=table.membership[kept], references=cut(table.references),
        reference_membership=table.reference_membership[:, columns], base=cut(table.base), extras=cut(table.extras),
        tokens=TokenTable(
            target.offsets, target, table.tokens.base.rows(columns),
            [model.rows(columns) for model in table.tokens.reference_tokens],
            texts=[table.tokens.texts[column] for column in columns],
        ),
    )  # fmt: skip


def test_a_language_model_has_these_rows_in_this_order(made):
    assert list(made) == MADE
    assert set(TOKEN_SCORES) <= set(MADE)
    titles = [attack.title for attack in made.values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", MADE)
def test_scores_are_one_finite_number_a_row(name, made, table):
    attack = made[name]
    assert attack.scores.dtype == np.float64
    assert attack.scores.shape == (POOL,)
    assert np.isfinite(attack.scores).all()
    assert attack.title.startswith(ATTACKS[name].title)
    assert attack.n_references == (8 if "references" in ATTACKS[name].needs else 0)


@pytest.mark.parametrize("population", [POPULATION, 0])
def test_members_are_found_best_by_what_is_calibrated_for_each_row(population):
    table = token_table(population=population)
    found = areas(table)
    assert all(found[name] > 0.54 for name in LEAKING), found
    assert abs(found["length"] - 0.5) < 0.1
    free = ("loss", "loss_sum", "min_k", "min_k_plus_plus", "surp", "zlib")
    assert min(found[name] for name in CALIBRATED) > max(found[name] for name in free) + 0.1, found


def test_without_leakage_every_attack_guesses():
    found = [areas(token_table(effect=0.0, seed=seed)) for seed in range(8)]
    for name in MADE:  # one AUC of 200 and 200 has a standard deviation of .029
        assert abs(np.mean([run[name] for run in found]) - 0.5) < 4 * 0.029 / np.sqrt(8), name


def test_an_untrained_adapter_is_the_base_and_tells_nothing(table):
    tokens = replace(table.tokens, target=table.tokens.base)
    found = {
        attack.name: attack.scores
        for attack in attack_scores(
            replace(table, target=table.base, tokens=tokens), ["base_calibration", "window_comparison"]
        )
    }
    assert not found["base_calibration"].any()
    assert not found["window_comparison"].any()
    assert auc(found["window_comparison"], table.membership) == 0.5


@pytest.mark.parametrize("name", TOKEN_SCORES)
def test_the_order_of_rows_and_of_references_does_not_matter(name, table, made):
    order = np.random.default_rng(0).permutation(POOL)
    # The examples that a quantile regression is calibrated on are drawn from the population as it lies.
    step = 1 if name == "token_quantile_regression" else -1
    other = of_rows(table, order, step=step).with_references(np.arange(8)[::-1])
    (attack,) = attack_scores(other, [name])
    tolerance = 1e-3 if name in ("combined_features", "token_quantile_regression") else 1e-8
    np.testing.assert_allclose(attack.scores, made[name].scores[order], rtol=1e-8, atol=tolerance)


@pytest.mark.parametrize("name", ["rmia", "rmia_offline"])
def test_rmia_compares_within_bins_of_one_length_where_a_population_is_set_aside(name, table, made):
    bins = length_bins(table)
    assert made[name].parameters["length_bins"] == len(set(bins["population_bins"])) > 1
    lengths = table.pool("n_tokens")
    assert max(lengths[bins["bins"] == 0]) < min(lengths[bins["bins"] == 1])
    (attack,) = attack_scores(of_rows(token_table(population=0), np.arange(POOL)), [name])
    assert "length_bins" not in attack.parameters


@pytest.mark.parametrize("name", TOKEN_SCORES)
def test_an_attack_is_left_out_where_what_it_needs_is_not_there(name, table):
    bare = SignalTable(table.target, table.membership)
    assert attack_scores(bare, [name]) == []
    for need in ATTACKS[name].needs:
        assert table.has(need)
        assert not bare.has(need)


def test_what_there_are_too_few_for_is_left_out():
    few = of_rows(token_table(population=0), np.arange(20)).with_references(slice(0, 2))
    names = [attack.name for attack in attack_scores(few)]
    assert names == [
        name for name in MADE if name not in ("token_quantile_regression", "token_lira", "token_lira_offline")
    ]
    no_base = replace(few, base=None, tokens=replace(few.tokens, base=None, texts=None))
    assert not {"base_calibration", "window_comparison", "zlib"} & {attack.name for attack in attack_scores(no_base)}


def test_quantiles_without_a_population_are_fitted_on_the_other_folds():
    table = token_table(population=0)
    (attack,) = attack_scores(table, ["token_quantile_regression"])
    assert attack.title.endswith("(5-fold)")
    assert attack.parameters == {"features": ["base loss", "length", "zlib"], "estimator": "linear"}
    assert auc(attack.scores, table.membership) > 0.6


def test_references_are_targets_and_budgets_are_made(table):
    other = leave_one_out_table(table, 2)
    found = areas(other, LEAKING)
    assert all(area > 0.54 for area in found.values()), found
    assert set(LEAKING) - set(found) == {"lowercase", "recall"}  # they take passes of their own
    budgets = over_budgets([table, other], [2, 4], fprs=(0.1,), confidence=0.95)
    named = {(entry["n_references"], entry["name"]) for entry in budgets["attacks"]}
    assert {(0, "min_k"), (2, "window_comparison_references"), (4, "token_lira"), (4, "combined_features")} < named
    assert not {(2, "token_lira"), (0, "length")} & named


@pytest.mark.parametrize("name", [name for name in TOKEN_SCORES if not is_control(name)])
def test_the_paper_is_the_one_the_arithmetic_names(name):
    functions = {
        "loss_sum": attacks.loss,
        "window_comparison_references": attacks.window_comparison,
        "token_quantile_regression": attacks.quantile_regression,
        "token_lira_offline": attacks.token_lira,
        "combined_features": attacks.shadow_classifier,
    }
    function = functions.get(name) or getattr(attacks, name)
    assert ATTACKS[name].paper in " ".join(function.__doc__.split())


def test_a_control_is_a_row_and_no_evidence(table):
    """Length alone tells members: the row says so, and nothing else does."""
    generator = np.random.default_rng(0)
    longest_first = np.argsort(-table.pool("n_tokens"))
    membership = np.zeros(POOL, dtype=bool)
    membership[longest_first[POOL // 2 :]] = True
    tokens = table.tokens.target.rows(np.arange(POOL))
    noise = {name: generator.exponential(size=(1, POOL)) for name in tokens.examples()}
    noise["n_tokens"] = table.target["n_tokens"][:, :POOL]
    shown = SignalTable(target=noise, membership=membership, tokens=TokenTable(tokens.offsets, tokens))
    found = attack_all(shown, AuditSettings(depth="quick"))
    (length,) = (attack for attack in found.attacks if attack["name"] == "length")
    assert length["auc"] > 0.9
    named = [test["attack"] for test in found.evidence["attacks"]]
    assert named == [attack["name"] for attack in found.attacks if attack["name"] != "length"]
    assert found.evidence["n_attacks"] == len(named)
    assert found.evidence["strongest"]["attack"] != "length"
    assert found.strongest.name != "length"


def test_quantiles_are_fitted_without_the_scored_rows_group():
    table = token_table(population=0)
    groups = np.empty(POOL, dtype=int)
    for side in (table.membership, ~table.membership):
        groups[side] = np.flatnonzero(side)[0] + np.arange(side.sum()) // 8 * 1000
    table = replace(table, groups=groups)
    fold = extras._folds(table, 0)
    for group in np.unique(groups):
        assert len(set(fold[groups == group])) == 1
    assert extras.n_to_fit_quantiles_on(table, 0) >= 100
    (attack,) = attack_scores(table, ["token_quantile_regression"])
    assert auc(attack.scores, table.membership) > 0.6
    one_group = replace(table, groups=np.where(table.membership, groups, -1))
    assert extras.n_to_fit_quantiles_on(one_group, 0) == 0
    assert attack_scores(one_group, ["token_quantile_regression"]) == []
