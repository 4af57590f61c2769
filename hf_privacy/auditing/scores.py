"""From the table of signals to one score per example and attack."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from hf_privacy import attacks
from hf_privacy.attack_table import ATTACKS, Attack
from hf_privacy.auditing.extras import quantile_regression
from hf_privacy.auditing.made import Made, Score, ScoreSettings
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.auditing.token_scores import TOKEN_SCORES, length_bins
from hf_privacy.errors import InputError
from hf_privacy.outside import is_outside, load_outside, source_sha256

# Offline RMIA's a where two references leave none to tune it on; the paper's value for CIFAR-10.
UNTUNED_RMIA_A = 0.3
# What a shadow-trained classifier sees of an example.
SHADOW_SIGNALS = ("phi", "loss", "margin", "entropy", "modified_entropy", "correct")


def attack_scores(
    table: SignalTable,
    names: Iterable[str] = tuple(ATTACKS),
    *,
    lira_variance: str = "auto",
    gamma: float = 1.0,
    seed: int = 0,
) -> list[AttackScores]:
    """Make the attacks whose needs the table meets.

    LiRA and curvature sum their log-likelihood ratios over the queries; the others read signals averaged over them.
    What must be tuned (offline RMIA's ``a``, the thresholds per class, the shadow classifier) is tuned on the
    references, never on the target.

    Parameters
    ----------
    table : SignalTable
    names : iterable of str
        Of `hf_privacy.attack_table.ATTACKS`, by default all; or ``module:name`` of a function of one's own, see
        `hf_privacy.auditing.SignalTable`.
    lira_variance : str
        Of `hf_privacy.attacks.lira`, or "auto": pooled, and global for fewer than 4 references, since two of them
        leave an example one value a side.
    gamma : float
        RMIA's.
    seed : int
        Of the classifiers that are fitted.
    """
    settings = ScoreSettings(lira_variance, gamma, seed)
    results = []
    for name in dict.fromkeys(names):
        attack, score = (_outside_attack if is_outside(name) else _our_attack)(name)
        if all(map(table.has, attack.needs)):
            made = score(table, settings)
            if made is None:
                continue
            made = made if isinstance(made, Made) else Made(made)
            title = f"{attack.title} ({made.variant})" if made.variant else attack.title
            n_references = table.n_references if "references" in attack.needs else 0
            scores = _checked(name, made.scores, table)
            results.append(AttackScores(name, title, scores, n_references, made.parameters or {}))
    return results


def _our_attack(name: str) -> tuple[Attack, Score]:
    return ATTACKS[name], _SCORES[name]


def _outside_attack(name: str) -> tuple[Attack, Score]:
    """A function of one's own, and what it says of itself."""
    function = load_outside(name, argument="extra_attacks")
    needs = ("references",) if getattr(function, "needs_references", False) else ()
    attack = Attack(getattr(function, "title", name), axis="score", paper="", needs=needs)
    return attack, lambda table, _: Made(function(table), {"source_sha256": source_sha256(function)})


def _checked(name: str, scores: Any, table: SignalTable) -> np.ndarray:
    """What every attack must give, ours or not."""
    try:
        scores = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"attack {name!r} gives no numbers: return float64 of shape [N]") from error
    if scores.shape != (table.n_pool,):
        raise InputError(
            f"attack {name!r} gives scores of shape {scores.shape}: return one for each of the {table.n_pool:,} "
            "examples of the pool"
        )
    if not np.isfinite(scores).all():
        n_bad = int((~np.isfinite(scores)).sum())
        raise InputError(f"attack {name!r} gives {n_bad:,} NaN or infinite scores: every example needs a number")
    return scores


def _auto_variance(table: SignalTable) -> str:
    return "pooled" if table.n_references >= 4 else "global"


def _lira(mode: str) -> Callable[[SignalTable, ScoreSettings], Made]:
    def score(table: SignalTable, settings: ScoreSettings) -> Made:
        variance = settings.lira_variance if settings.lira_variance != "auto" else _auto_variance(table)
        scores = attacks.lira(*table.queries("phi"), table.reference_pool_membership, mode=mode, variance=variance)
        return Made(scores, {"mode": mode, "variance": variance}, f"{mode}, {variance.replace('_', '-')} variance")

    return score


def _curvature(form: str) -> Callable[[SignalTable, ScoreSettings], Made]:
    """Log curvature against that of the references with and without the example."""

    def score(table: SignalTable, settings: ScoreSettings) -> Made:
        parameters = {"form": form, "variance": _auto_variance(table)}
        return Made(
            attacks.curvature(*table.queries("curvature"), table.reference_pool_membership, **parameters), parameters
        )

    return score


def _rmia(mode: str) -> Callable[[SignalTable, ScoreSettings], Made]:
    """Offline with ``a`` tuned where four references or more allow it."""

    def score(table: SignalTable, settings: ScoreSettings) -> Made:
        population, membership = table.population, table.reference_pool_membership
        probability, references = table.mean("probability"), table.reference_mean("probability")
        parameters: dict[str, Any] = {"mode": mode, "gamma": settings.gamma}
        if mode == "offline":
            tuned = table.n_references >= 4 and bool(membership.any())
            a = attacks.tune_rmia_a(table.reference_pool("probability"), membership) if tuned else UNTUNED_RMIA_A
            parameters |= {"a": a, "a_tuned": tuned}
        bins = length_bins(table)
        if bins:
            parameters["length_bins"] = len(np.unique(bins["population_bins"]))
        scores = attacks.rmia(
            table.pool("probability"),
            table.reference_pool("probability"),
            membership,
            probability[population],
            references[:, population],
            mode=mode,
            gamma=settings.gamma,
            a=parameters.get("a"),
            population_membership=table.in_references[:, population],
            **bins,
        )
        return Made(scores, parameters, mode)

    return score


def _label_only(table: SignalTable, settings: ScoreSettings) -> Made:
    correct = table.extras["augmented_correct"][:, : table.n_pool]
    return Made(attacks.label_only_augmented(correct), variant=f"{len(correct)} augmentations")


def _quantile_regression(table: SignalTable, settings: ScoreSettings) -> Made:
    scores, n_folds = quantile_regression(table, table.mean("margin"), table.extras["features"], seed=settings.seed)
    return Made(scores, variant=f"{n_folds}-fold" if n_folds else "")


def _shadow_classifier(table: SignalTable, settings: ScoreSettings) -> np.ndarray:
    return attacks.shadow_classifier(
        np.stack([table.pool(name) for name in SHADOW_SIGNALS], axis=-1),
        np.stack([table.reference_pool(name) for name in SHADOW_SIGNALS], axis=-1),
        table.reference_pool_membership,
        seed=settings.seed,
    )


def _modified_entropy_per_class(table: SignalTable, settings: ScoreSettings) -> np.ndarray:
    assert table.labels is not None
    labels = table.labels[: table.n_pool]
    thresholds = attacks.class_thresholds(
        -table.reference_pool("modified_entropy"),
        table.reference_pool_membership,
        labels,
        # A class too small to have members and non-members among the references takes the threshold of all.
        scarce="overall",
    )
    return attacks.modified_entropy(table.pool("modified_entropy"), labels=labels, thresholds=thresholds)


def _base_calibration(table: SignalTable, settings: ScoreSettings) -> np.ndarray:
    assert table.base is not None
    return attacks.base_calibration(-table.pool("loss"), -table.base["loss"].mean(axis=0)[: table.n_pool])


_SCORES: dict[str, Score] = {
    "loss": lambda table, _: attacks.loss(table.pool("loss")),
    "confidence": lambda table, _: attacks.confidence(table.pool("probability")),
    "entropy": lambda table, _: attacks.entropy(table.pool("entropy")),
    "modified_entropy": lambda table, _: attacks.modified_entropy(table.pool("modified_entropy")),
    "attack_p": lambda table, _: attacks.attack_p(table.pool("loss"), table.mean("loss")[table.population]),
    "base_calibration": _base_calibration,
    # Training on an example flattens the loss around it.
    "curvature": lambda table, _: -table.pool("curvature"),
    "quantile_regression": _quantile_regression,
    "label_only": _label_only,
    "boundary_distance": lambda table, _: attacks.label_only_distance(
        table.extras["boundary_distance"][: table.n_pool], table.target["correct"][0][: table.n_pool]
    ),
    "lira": _lira("online"),
    "lira_offline": _lira("offline"),
    "rmia": _rmia("online"),
    "rmia_offline": _rmia("offline"),
    "attack_r": lambda table, _: attacks.attack_r(
        table.pool("loss"), table.reference_pool("loss"), table.reference_pool_membership
    ),
    "base": lambda table, _: attacks.base(-table.pool("loss"), -table.reference_pool("loss")),
    "shadow_classifier": _shadow_classifier,
    "modified_entropy_per_class": _modified_entropy_per_class,
    "curvature_online": _curvature("likelihood_ratio"),
    "curvature_nll": _curvature("nll"),
    **TOKEN_SCORES,
}
