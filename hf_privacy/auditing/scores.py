"""From the table of signals to one score per example and attack."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hf_privacy import attacks
from hf_privacy.auditing.table import AttackScores, SignalTable

# Offline RMIA's a where two references leave none to tune it on; the paper's value for CIFAR-10.
UNTUNED_RMIA_A = 0.3
# What a shadow-trained classifier sees of an example.
SHADOW_SIGNALS = ("phi", "loss", "margin", "entropy", "modified_entropy", "correct")


def quick_scores(table: SignalTable, base: Mapping[str, np.ndarray] | None = None) -> list[AttackScores]:
    """The attacks that need no reference model, on the target's own signals.

    Parameters
    ----------
    table : SignalTable
    base : dict of str to float64 [Q, N + Z], optional
        Signals of the checkpoint the target was fine-tuned from, where that checkpoint has the same classes.
    """
    n = table.n_pool
    loss = table.mean("loss")
    results = [
        AttackScores("loss", "LOSS", attacks.loss(loss[:n])),
        AttackScores("confidence", "Confidence", attacks.confidence(table.mean("probability")[:n])),
        AttackScores("entropy", "Entropy", attacks.entropy(table.mean("entropy")[:n])),
        AttackScores(
            "modified_entropy", "Modified entropy", attacks.modified_entropy(table.mean("modified_entropy")[:n])
        ),
        AttackScores("attack_p", "Attack-P", attacks.attack_p(loss[:n], loss[table.population])),
    ]
    if base is not None:
        scores = attacks.base_calibration(-loss[:n], -base["loss"].mean(axis=0)[:n])
        results.append(AttackScores("base_calibration", "LOSS calibrated by the base checkpoint", scores))
    return results


def reference_scores(
    table: SignalTable, *, lira_variance: str = "auto", gamma: float = 1.0, seed: int = 0
) -> list[AttackScores]:
    """The attacks with reference models.

    LiRA sums its log-likelihood ratio over the queries; the others read signals averaged over them. What must be
    tuned (offline RMIA's ``a``, the thresholds per class, the shadow classifier) is tuned on the references, never on
    the target.

    Parameters
    ----------
    table : SignalTable
    lira_variance : str
        Of `hf_privacy.attacks.lira`, or "auto": pooled, and global for fewer than 4 references, since two of them
        leave an example one value a side.
    gamma : float
        RMIA's.
    seed : int
        Of the shadow classifier.
    """
    if lira_variance == "auto":
        lira_variance = "pooled" if table.n_references >= 4 else "global"
    return [*lira_scores(table, lira_variance, name="lira"), *other_reference_scores(table, gamma=gamma, seed=seed)]


def lira_scores(table: SignalTable, variance: str, *, name: str) -> list[AttackScores]:
    """LiRA online, as ``name``, and offline, as ``name`` with "_offline"."""
    assert table.references is not None
    assert table.reference_membership is not None
    n = table.n_pool
    results = []
    for mode, key in (("online", name), ("offline", f"{name}_offline")):
        scores = attacks.lira(
            table.target["phi"][:, :n],
            table.references["phi"][:, :, :n],
            table.reference_membership[:, :n],
            mode=mode,
            variance=variance,
        )
        title = f"LiRA ({mode}, {variance.replace('_', '-')} variance)"
        results.append(AttackScores(key, title, scores, table.n_references, {"mode": mode, "variance": variance}))
    return results


def other_reference_scores(table: SignalTable, *, gamma: float = 1.0, seed: int = 0) -> list[AttackScores]:
    """The attacks with reference models but LiRA."""
    results = [*rmia_scores(table, gamma), *_attack_r_and_base(table), _shadow_classifier(table, seed)]
    return results if table.labels is None else [*results, _modified_entropy_per_class(table)]


def _attack_r_and_base(table: SignalTable) -> list[AttackScores]:
    assert table.reference_membership is not None
    n, n_references = table.n_pool, table.n_references
    membership = table.reference_membership[:, :n]
    loss, reference_loss = table.mean("loss")[:n], table.reference_mean("loss")[:, :n]
    return [
        AttackScores("attack_r", "Attack-R", attacks.attack_r(loss, reference_loss, membership), n_references),
        AttackScores("base", "BASE", attacks.base(-loss, -reference_loss), n_references),
    ]


def rmia_scores(table: SignalTable, gamma: float) -> list[AttackScores]:
    """RMIA online, and offline with ``a`` tuned where four references or more allow it."""
    assert table.reference_membership is not None
    n, population = table.n_pool, table.population
    membership = table.reference_membership[:, :n]
    probability = table.mean("probability")
    reference_probability = table.reference_mean("probability")
    tuned = table.n_references >= 4
    a = UNTUNED_RMIA_A
    if tuned:
        a = attacks.tune_rmia_a(reference_probability[:, :n], membership)
    results = []
    for mode, name in (("online", "rmia"), ("offline", "rmia_offline")):
        scores = attacks.rmia(
            probability[:n],
            reference_probability[:, :n],
            membership,
            probability[population],
            reference_probability[:, population],
            mode=mode,
            gamma=gamma,
            a=a if mode == "offline" else None,
            population_membership=table.reference_membership[:, population],
        )
        parameters = {"mode": mode, "gamma": gamma} | ({"a": a, "a_tuned": tuned} if mode == "offline" else {})
        results.append(AttackScores(name, f"RMIA ({mode})", scores, table.n_references, parameters))
    return results


def _shadow_classifier(table: SignalTable, seed: int) -> AttackScores:
    assert table.reference_membership is not None
    n = table.n_pool
    scores = attacks.shadow_classifier(
        np.stack([table.mean(name)[:n] for name in SHADOW_SIGNALS], axis=-1),
        np.stack([table.reference_mean(name)[:, :n] for name in SHADOW_SIGNALS], axis=-1),
        table.reference_membership[:, :n],
        seed=seed,
    )
    return AttackScores("shadow_classifier", "Shadow-trained classifier", scores, table.n_references)


def _modified_entropy_per_class(table: SignalTable) -> AttackScores:
    assert table.reference_membership is not None
    assert table.labels is not None
    n, labels = table.n_pool, table.labels[: table.n_pool]
    thresholds = attacks.class_thresholds(
        -table.reference_mean("modified_entropy")[:, :n],
        table.reference_membership[:, :n],
        labels,
        # A class too small to have members and non-members among the references takes the threshold of all.
        scarce="overall",
    )
    scores = attacks.modified_entropy(table.mean("modified_entropy")[:n], labels=labels, thresholds=thresholds)
    return AttackScores(
        "modified_entropy_per_class", "Modified entropy (thresholds per class)", scores, table.n_references
    )
