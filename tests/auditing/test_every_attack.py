"""What holds of every attack on classifiers, on signals whose leakage is known: being in the table makes it tested."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace

import numpy as np
import pytest

from hf_privacy import attack_table, attacks
from hf_privacy.attack_table import EXTRA_ATTACKS, WITHOUT_REFERENCES
from hf_privacy.auditing.examinations.membership.budgets import over_budgets
from hf_privacy.auditing.extras import check_calibration
from hf_privacy.auditing.scores import UNTUNED_RMIA_A, attack_scores
from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.targets import leave_one_out_table
from hf_privacy.auditing.token_scores import TOKEN_SCORES
from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings
from hf_privacy.statistics import auc

# Those on the tokens of language models are in test_token_scores.py.
ATTACKS = {name: attack for name, attack in attack_table.ATTACKS.items() if name not in TOKEN_SCORES}
WITH_REFERENCES = [name for name in ATTACKS if name not in WITHOUT_REFERENCES]
# What is fitted to all examples, of the target's or of the references, moves with them: one variance, thresholds, a.
FITTED = (
    "lira", "lira_offline", "rmia_offline", "shadow_classifier", "modified_entropy_per_class", "curvature_online",
    "curvature_nll",
)  # fmt: skip
ALONE = [name for name in ATTACKS if name not in FITTED]
# One AUC of 300 members and 300 non-members has a standard deviation of about this.
SPREAD = 0.024
# All but the one that takes seconds a fit; tests of its own and of one table hold it.
QUICKLY_MADE = [name for name in ATTACKS if name != "quantile_regression"]


def whole_table(planted_table, *, effect: float = 2.0, seed: int = 0, **arguments) -> SignalTable:
    """A table with everything that an attack can need.

    Members lie ``effect`` standard deviations higher in φ, and lower in log curvature, each around a level of its own.
    """
    table = planted_table(effect=effect, seed=seed, **arguments)
    rng = np.random.default_rng([seed, 1])
    shape, n_columns = table.references["phi"].shape, table.target["phi"].shape[1]
    level, phi = rng.normal(0.0, 3.0, n_columns), table.target["phi"][:1]
    is_member = np.pad(table.membership, (0, n_columns - table.n_pool))
    curvature = level - effect * is_member + rng.normal(size=table.target["phi"].shape)
    references = level - effect * table.reference_membership + rng.normal(size=shape)
    return replace(
        table,
        target={**table.target, "curvature": curvature},
        references={**table.references, "curvature": references},
        base={"loss": rng.exponential(0.1, size=table.target["phi"].shape)},
        extras={
            "features": rng.normal(size=(n_columns, 3)).astype(np.float32),
            "augmented_correct": (phi + rng.normal(size=(5, n_columns)) > 1).astype(float),
            "boundary_distance": np.abs(phi[0]),
        },
    )


@pytest.fixture(scope="module")
def table(planted_table) -> SignalTable:
    return whole_table(planted_table)


@pytest.fixture(scope="module")
def made(table):
    return {attack.name: attack for attack in attack_scores(table)}


def of_examples(table: SignalTable, kept: np.ndarray, *, step: int = 1) -> SignalTable:
    """The table with some of the pool's examples, in this order, and its population, turned round by ``step``."""
    columns = np.concatenate([kept, np.arange(table.n_pool, len(table.labels))[::step]])

    def cut(signals):
        return {
            name: values[columns] if name == "features" else values[..., columns] for name, values in signals.items()
        }

    return SignalTable(
        target=cut(table.target), membership=table.membership[kept], labels=table.labels[columns],
        references=cut(table.references), reference_membership=table.reference_membership[:, columns],
        base=cut(table.base), extras=cut(table.extras),
    )  # fmt: skip


def only(table: SignalTable, name: str, **settings) -> np.ndarray:
    (attack,) = attack_scores(table, [name], **settings)
    return attack.scores


def areas(table: SignalTable, names=tuple(ATTACKS), **settings) -> dict[str, float]:
    return {attack.name: auc(attack.scores, table.membership) for attack in attack_scores(table, names, **settings)}


def test_the_table_is_in_the_order_of_a_report(made):
    assert list(made) == list(ATTACKS)
    assert set(EXTRA_ATTACKS) < set(WITHOUT_REFERENCES) & set(ATTACKS)
    titles = [attack.title for attack in made.values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_are_one_finite_number_an_example(name, made, table):
    attack = made[name]
    assert attack.scores.dtype == np.float64
    assert attack.scores.shape == (table.n_pool,)
    assert np.isfinite(attack.scores).all()
    assert attack.title.startswith(ATTACKS[name].title)
    assert attack.n_references == (8 if name in WITH_REFERENCES else 0)
    assert auc(attack.scores, table.membership) > 0.6


@pytest.mark.parametrize("with_population", [True, False])
@pytest.mark.parametrize("n_queries", [1, 2])
def test_every_attack_scores_members_higher(planted_table, n_queries, with_population):
    table = whole_table(planted_table, n_queries=n_queries, with_population=with_population)
    found = areas(table, QUICKLY_MADE)
    assert all(area > 0.6 for area in found.values()), found
    # What is calibrated for each example finds more than what is not.
    assert min(found["lira"], found["rmia"], found["base"]) > max(
        found[name] for name in ("loss", "confidence", "entropy", "modified_entropy", "attack_p")
    )
    assert min(found["curvature_online"], found["curvature_nll"]) > found["curvature"] + 0.1


@pytest.mark.parametrize("model", [2, 3])
def test_every_attack_finds_the_members_of_a_reference_and_of_its_complement(table, model):
    found = areas(leave_one_out_table(table, model, extras=table.extras), ["loss", "curvature", *WITH_REFERENCES])
    assert all(area > 0.6 for area in found.values()), found
    assert set(WITH_REFERENCES) < set(found)


def test_without_leakage_every_attack_guesses(planted_table):
    found = [areas(whole_table(planted_table, effect=0.0, seed=seed), QUICKLY_MADE) for seed in range(12)]
    for name in QUICKLY_MADE:
        assert abs(np.mean([run[name] for run in found]) - 0.5) < 4 * SPREAD / np.sqrt(len(found)), name


@pytest.mark.parametrize("with_population", [True, False])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_null_behaviour_without_leakage_rmia_guesses_whatever_gamma_and_population(
    planted_table, gamma, with_population
):
    # With each non-member left out of its own comparison: .63 at γ = 0.5 and .41 at γ = 2 without a population.
    names, found = ("rmia", "rmia_offline"), []
    for seed in range(8):
        table = planted_table(effect=0.0, seed=seed, with_population=with_population)
        found.append(areas(table, names, gamma=gamma))
    for name in names:
        assert abs(np.mean([run[name] for run in found]) - 0.5) < 4 * SPREAD / np.sqrt(len(found)), name


@pytest.mark.parametrize("name", ATTACKS)
def test_the_order_of_examples_and_of_references_does_not_matter(name, table, made):
    order = np.random.default_rng(0).permutation(table.n_pool)
    # The folds that a quantile regression is calibrated on are drawn from the population as it lies.
    step = 1 if name == "quantile_regression" else -1
    other = of_examples(table, order, step=step).with_references(np.arange(8)[::-1])
    # A solver stops within its tolerance.
    tolerance = 1e-3 if name in ("shadow_classifier", "quantile_regression") else 1e-9
    np.testing.assert_allclose(only(other, name), made[name].scores[order], rtol=1e-9, atol=tolerance)


@pytest.mark.parametrize("name", ALONE)
def test_the_score_of_an_example_does_not_depend_on_its_batch_mates(name, table, made):
    part = np.random.default_rng(0).permutation(table.n_pool)[:40]
    np.testing.assert_allclose(only(of_examples(table, part), name), made[name].scores[part], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in ATTACKS if "lira" not in name and "curvature_" not in name])
def test_constant_signals_have_an_auc_of_one_half(name, table):
    def constant(signals):
        return {signal: np.full_like(values, 0.5) for signal, values in signals.items()}

    flat = replace(
        table, target=constant(table.target), references=constant(table.references),
        base=constant(table.base), extras=constant(table.extras),
    )  # fmt: skip
    if name in EXTRA_ATTACKS:
        flat = replace(flat, target=flat.target | {"correct": np.ones_like(flat.target["correct"])})
        flat.extras["augmented_correct"][:] = 1.0
    assert auc(only(flat, name), table.membership) == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("name", ATTACKS)
def test_signals_that_are_no_numbers_or_of_another_length_are_refused(name, table):
    last = table.n_pool - 1
    broken = {
        signal: np.where(np.arange(values.shape[1]) == last, np.nan, values) for signal, values in table.target.items()
    }
    extras = {signal: np.full_like(values, np.nan) for signal, values in table.extras.items()}
    with pytest.raises(InputError, match=r"NaN|0 or 1|0 and 1"):
        attack_scores(replace(table, target=broken, extras=extras), [name])
    shorter = {signal: values[:, :-300] for signal, values in table.target.items()}
    extras = {signal: values[:-300] if values.ndim == 1 or signal == "features" else values[:, :-300]
              for signal, values in table.extras.items()}  # fmt: skip
    with pytest.raises((InputError, IndexError)):
        attack_scores(replace(table, target=shorter, extras=extras), [name])


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_left_out_where_what_it_needs_is_not_there(name, table):
    lacking = ("curvature", *ATTACKS[name].needs)
    target = {signal: values for signal, values in table.target.items() if signal not in lacking}
    bare = SignalTable(target, table.membership)
    assert bool(attack_scores(bare, [name])) == (not ATTACKS[name].needs)
    for need in ATTACKS[name].needs:
        assert table.has(need)
        assert not bare.has(need)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_paper_is_the_one_the_arithmetic_names(name):
    functions = {
        "boundary_distance": attacks.label_only_distance,
        "label_only": attacks.label_only_augmented,
        "modified_entropy_per_class": attacks.class_thresholds,
    }
    stem = name.removesuffix("_offline").removesuffix("_online").removesuffix("_nll")
    function = functions.get(name) or getattr(attacks, stem)
    assert ATTACKS[name].paper in " ".join(function.__doc__.split())


def test_two_references_are_enough_for_every_attack(planted_table):
    table = whole_table(planted_table, n_references=2)
    assert all(area > 0.6 for area in areas(table, WITH_REFERENCES).values())
    parameters = {attack.name: attack.parameters for attack in attack_scores(table, WITH_REFERENCES)}
    assert {parameters[name]["variance"] for name in ("lira", "curvature_online", "curvature_nll")} == {"global"}
    assert parameters["rmia_offline"]["a"] == UNTUNED_RMIA_A
    assert not parameters["rmia_offline"]["a_tuned"]


def test_four_references_allow_the_pooled_variance_and_a_tuned_a(planted_table):
    table = whole_table(planted_table, n_references=4)
    parameters = {attack.name: attack.parameters for attack in attack_scores(table, WITH_REFERENCES)}
    assert {parameters[name]["variance"] for name in ("lira", "curvature_online", "curvature_nll")} == {"pooled"}
    assert parameters["rmia_offline"]["a_tuned"]


def test_every_attack_is_made_at_every_budget_that_allows_it(table):
    table = replace(table, extras={})
    budgets = over_budgets([table, leave_one_out_table(table, 0)], [2, 4], fprs=(0.1,), confidence=0.95)
    named = {(entry["n_references"], entry["name"]) for entry in budgets["attacks"]}
    for budget in (2, 4):
        assert {(budget, name) for name in WITH_REFERENCES if "lira" not in name} < named
        assert {(budget, "lira_global"), (budget, "lira_global_offline")} < named
    assert (4, "lira_pooled") in named
    assert (2, "lira_pooled") not in named
    assert {(0, "loss"), (0, "curvature")} < named


def test_quantiles_without_a_population_are_never_fitted_on_the_scored_example(planted_table):
    table = whole_table(planted_table, with_population=False)
    table = of_examples(table, np.arange(200))
    (attack,) = attack_scores(table, ["quantile_regression"])
    assert attack.title == "Quantile regression (5-fold)"
    assert auc(attack.scores, table.membership) > 0.6


def test_the_fewest_nonmembers_that_pass_the_check_are_enough_in_every_fold(planted_table):
    table = whole_table(planted_table, with_population=False)
    kept = np.concatenate([np.flatnonzero(table.membership)[:40], np.flatnonzero(~table.membership)[:25]])
    check_calibration(0, 25)
    with pytest.raises(
        InputError, match="no population and 24 non-members are too few to fit it on: pass at least 25"
    ):
        check_calibration(0, 24)
    for seed in range(3):
        assert np.isfinite(only(of_examples(table, kept), "quantile_regression", seed=seed)).all()


OWN_ATTACKS = """
import numpy as np


def gain(table):
    return table.reference_pool("loss").mean(axis=0) - table.pool("loss")


gain.title, gain.needs_references = "Gain over the references", True


def short(table):
    return table.pool("loss")[1:]


def endless(table):
    return np.where(np.arange(table.n_pool) < 3, np.inf, 0.0)


def words(table):
    return ["member"] * table.n_pool


def loss(table):
    return [-value for value in table.pool("loss")]


def blank(table):
    return table.pool("loss")


blank.title = ""
number = 3
"""


@pytest.fixture
def own_attacks(tmp_path, monkeypatch):
    (tmp_path / "own_attacks.py").write_text(OWN_ATTACKS)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "own_attacks.py"
    sys.modules.pop("own_attacks", None)


def test_an_attack_of_ones_own_is_made_like_ours(own_attacks, table, made):
    gain, loss = attack_scores(table, ["own_attacks:gain", "own_attacks:loss"])
    assert (gain.name, gain.title, gain.n_references) == ("own_attacks:gain", "Gain over the references", 8)
    assert gain.parameters == {"source_sha256": hashlib.sha256(own_attacks.read_bytes()).hexdigest()}
    assert auc(gain.scores, table.membership) > 0.6
    assert (loss.title, loss.n_references) == ("own_attacks:loss", 0)
    np.testing.assert_array_equal(loss.scores, made["loss"].scores)
    assert attack_scores(SignalTable(table.target, table.membership), ["own_attacks:gain"]) == []


def test_attacks_of_ones_own_are_made_at_every_budget(own_attacks, table):
    table = replace(table, extras={})
    tables, own = [table, leave_one_out_table(table, 0)], ["own_attacks:gain", "own_attacks:loss"]
    budgets = over_budgets(tables, [2, 4], fprs=(0.1,), confidence=0.95, own=own)
    named = [(entry["n_references"], entry["name"]) for entry in budgets["attacks"] if ":" in entry["name"]]
    assert named == [(0, "own_attacks:loss"), (2, "own_attacks:gain"), (4, "own_attacks:gain")]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("short", r"'own_attacks:short' gives scores of shape \(599,\): return one for each of the 600 examples"),
        ("endless", "'own_attacks:endless' gives 3 NaN or infinite scores"),
        ("words", "'own_attacks:words' gives no numbers"),
    ],
)
def test_scores_of_ones_own_that_are_none_are_refused_by_name(own_attacks, table, name, message):
    with pytest.raises(InputError, match=message):
        attack_scores(table, [f"own_attacks:{name}"])


def test_a_quick_audit_leaves_out_what_needs_references_and_says_so(own_attacks):
    asked = {"targets": 5, "budgets": [2], "stop_when_still": 0.01, "engine": "ray"}
    asked["extra_attacks"] = ["own_attacks:gain", "own_attacks:loss"]
    settings = AuditSettings(depth="quick", **asked)
    settings.check()
    made, left_out = settings.as_made()
    assert (made.targets, made.budgets, made.stop_when_still, made.engine.name) == (1, [], None, "local")
    assert made.extra_attacks == ["own_attacks:loss"]
    assert left_out.endswith("on one target in place of 5, without budgets, without own_attacks:gain.")
    assert AuditSettings(depth="quick", stop_when_still=0.01).as_made()[1] is None  # the report is the same
    full = AuditSettings(targets=5)
    assert full.as_made() == (full, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_attacks:number", "'own_attacks:number', which is no function"),
        ("own_attacks:blank", "the title of attack 'own_attacks:blank' is ''"),
        ("own_attacks:nothing", "module 'own_attacks' has no 'nothing'"),
        ("nowhere:gain", "there is no module 'nowhere'"),
    ],
)
def test_names_of_no_attack_are_refused_before_anything_is_trained(own_attacks, name, message):
    with pytest.raises(InputError, match=message):
        AuditSettings(extra_attacks=[name]).check()
    AuditSettings(extra_attacks=["own_attacks:gain", "label_only"]).check()
