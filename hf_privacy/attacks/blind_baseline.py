"""Blind baseline: can members be told from non-members without the model?"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from hf_privacy.arguments import check_choice, check_seed, check_whole
from hf_privacy.arrays import boolean_vector, label_array, real_array
from hf_privacy.errors import InputError

_CLASSIFIERS = ("logistic", "gradient_boosting", "random_forest")
_SMALLEST_SIDE = 5
# Of the examples, those in the first fold: few, for they go unscored.
_FIRST_SHARE = 0.1
# Rows looked at in one go: wide inputs need not be copied whole.
_BLOCK = 4096


def blind_baseline(
    features: ArrayLike,
    membership: ArrayLike,
    *,
    n_folds: int = 5,
    classifier: Literal["logistic", "gradient_boosting", "random_forest"] = "logistic",
    n_components: int = 50,
    max_rows: int = 20_000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Score by a classifier that sees the inputs and never the model, trained on other examples.

    Where members and non-members were drawn from one source by chance, nothing of the inputs tells them apart and the
    AUC of this score is 0.5. An AUC whose interval lies above 0.5 means that they differ by distribution: what attacks
    reach on any model then measures the split as well as the model. An AUC of 0.5 is no proof of the contrary; another
    classifier may see what this one does not.

    Each fold is scored by a classifier trained on the folds **before** it, not on all others. Under cross-validation
    every pair of examples counts twice, once as (training, scored) and once the other way round, which doubles the
    variance of the AUC where nothing is to be found: a 95 % interval then misses 0.5 in one of six fair splits.
    Progressive validation counts it once, and intervals for independent scores hold.

    Where whole groups are members, a group is in one fold alone: what is its own (an author's name) tells nothing of
    the groups that are scored, and the AUC's interval is `hf_privacy.statistics.auc_interval` with the same groups.

    Parameters
    ----------
    features : array-like of float, shape [N, D]
        What the classifier sees of each example: flattened pixels, columns of a table, counts of words; nothing that
        comes from the model.
    membership : array-like of bool, shape [N]
        True where the example is a member of the target's training set.
    n_folds : int, default 5
        How many are scored, ≥ 1, after a first fold of a tenth of the members and of the non-members (at least five of
        each), which is only trained on. There must be at least five of each a fold.
    classifier : {"logistic", "gradient_boosting", "random_forest"}, default "logistic"
        Logistic regression on standardised features, histogram gradient boosting, which sees interactions, or 100
        random trees on the features as they are, for many columns of which a few may tell, such as words.
    n_components : int, default 50
        Where more columns vary, they are (but for the random forest) projected on so many principal components (at
        most one less than there are examples to train on), found on the training folds.
    max_rows : int, default 20,000
        Most examples to train on, drawn by chance where the folds before hold more.
    seed : int, default 0
        Of the folds, the draw and the fit. Folds go by the order of the examples.
    groups : array-like of int or str, shape [N], optional
        What was drawn as a whole, each a member or not; at least one of either a fold, and one for the first.

    Returns
    -------
    float64[N]
        In (0, 1), higher for likelier members: the rank of the classifier's odds **within its fold**, mid-ranks
        for ties, since odds of classifiers trained apart are not on one scale. 0.5 for the first fold, which draws
        the AUC a tenth of its way towards 0.5.

    Raises
    ------
    InputError
        If shapes disagree, a feature is NaN or infinite, membership is not boolean, members or non-members are fewer
        than five a fold, groups are fewer than folds or of both sides, the classifier is unknown, or a number is out
        of range.

    References
    ----------
    Das, Zhang and Tramèr, "Blind baselines beat membership inference attacks for foundation models", 2024 (arXiv
    2406.16201). The paper's baselines are tailored to each data set; this one is generic.
    Progressive validation: Blum, Kalai and Langford, "Beating the hold-out", COLT 1999.

    Examples
    --------
    >>> import numpy as np
    >>> from hf_privacy.statistics import auc
    >>> generator = np.random.default_rng(0)
    >>> membership = generator.random(400) < 0.5
    >>> inputs = generator.normal(size=(400, 3))
    >>> fair = blind_baseline(inputs, membership)
    >>> leaky = blind_baseline(inputs + membership[:, np.newaxis], membership)
    >>> round(auc(fair, membership), 1), round(auc(leaky, membership), 1)
    (0.5, 0.8)
    """
    check_choice("classifier", classifier, _CLASSIFIERS)
    seed = check_seed(seed)
    n_folds = check_whole("n_folds", n_folds, at_least=1)
    n_components = check_whole("n_components", n_components, at_least=1)
    max_rows = check_whole("max_rows", max_rows, at_least=20)
    inputs, truth = _check(features, membership, n_folds)

    scores = np.full(len(truth), 0.5)
    generator = np.random.default_rng(seed)
    folds = _folds(truth, n_folds, generator, None if groups is None else _units(groups, truth, n_folds))
    for number in range(1, len(folds)):
        training, scored = np.concatenate(folds[:number]), folds[number]
        if len(training) > max_rows:
            training = generator.choice(training, size=max_rows, replace=False, shuffle=False)
            if truth[training].all() or not truth[training].any():
                raise InputError(f"max_rows is {max_rows}, too few to draw members and non-members: raise it")
        rows = _as_float(inputs[training])
        # A column that does not vary tells nothing, and nothing is left to project where none does.
        varies = np.any(rows != rows[0], axis=0)
        if not varies.any():
            continue
        pipeline = _pipeline(classifier, int(varies.sum()), min(n_components, len(training) - 1), seed)
        pipeline.fit(rows[:, varies], truth[training])
        odds = np.concatenate(
            [
                _odds(pipeline, _as_float(inputs[scored[start : start + _BLOCK]])[:, varies])
                for start in range(0, len(scored), _BLOCK)
            ]
        )
        scores[scored] = (rankdata(odds) - 0.5) / len(scored)
    return scores


def _check(features: ArrayLike, membership: ArrayLike, n_folds: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    truth = boolean_vector("membership", membership, true="True for a member")
    inputs = real_array("features", features)
    if inputs.ndim != 2 or len(inputs) != len(truth) or inputs.shape[1] == 0:
        raise InputError(
            f"features has shape {inputs.shape} and membership {len(truth):,} rows: "
            "pass one row of features per example"
        )
    n_members = int(truth.sum())
    fewest, needed = min(n_members, len(truth) - n_members), (n_folds + 1) * _SMALLEST_SIDE
    if fewest < needed:
        raise InputError(
            f"membership holds {n_members:,} members and {len(truth) - n_members:,} non-members: "
            f"pass at least {needed} of each for n_folds={n_folds}"
        )
    n_bad = sum(
        int(np.count_nonzero(~np.isfinite(inputs[start : start + _BLOCK]))) for start in range(0, len(inputs), _BLOCK)
    )
    if n_bad:
        raise InputError(f"features holds {n_bad:,} NaN or infinite values of {inputs.size:,}: pass finite values")
    return inputs, truth


def _units(groups: ArrayLike, membership: NDArray[np.bool_], n_folds: int) -> NDArray[np.int64]:
    """Number of each example's group."""
    labels = label_array("groups", groups)
    if labels.shape != membership.shape:
        raise InputError(f"groups have shape {labels.shape} for {len(membership):,} examples: pass one per example")
    units = np.unique(labels, return_inverse=True)[1]
    of_members, of_nonmembers = np.unique(units[membership]), np.unique(units[~membership])
    n_mixed = np.intersect1d(of_members, of_nonmembers).size
    if n_mixed:
        raise InputError(f"groups hold {n_mixed:,} with members and non-members: pass groups of one kind each")
    fewest = min(len(of_members), len(of_nonmembers))
    if fewest <= n_folds:
        raise InputError(
            f"groups are {len(of_members)} of members and {len(of_nonmembers)} of non-members: pass at least "
            f"{n_folds + 1} of each for n_folds={n_folds}"
        )
    return units


def _folds(
    membership: NDArray[np.bool_],
    n_folds: int,
    generator: np.random.Generator,
    units: NDArray[np.int64] | None = None,
) -> list[NDArray[np.int64]]:
    """Positions of the first fold and of those to score, members and non-members in equal shares throughout."""
    sides = []
    for side in (np.flatnonzero(membership), np.flatnonzero(~membership)):
        if units is None:
            shuffled = generator.permutation(side)
            n_first = max(_SMALLEST_SIDE, round(_FIRST_SHARE * len(side)))
            sides.append([shuffled[:n_first], *np.array_split(shuffled[n_first:], n_folds)])
        else:
            names = generator.permutation(np.unique(units[side]))
            n_first = max(1, round(_FIRST_SHARE * len(names)))
            parts = [names[:n_first], *np.array_split(names[n_first:], n_folds)]
            sides.append([side[np.isin(units[side], part)] for part in parts])
    # Mixed: where equal examples differ in the last bit by their place in a matrix product, it must tell nothing.
    return [generator.permutation(np.concatenate(parts)) for parts in zip(*sides, strict=True)]


def _odds(fitted: Any, rows: NDArray[Any]) -> NDArray[np.float64]:
    """A function of the odds that grows with them."""
    found = (
        fitted.decision_function(rows) if hasattr(fitted, "decision_function") else fitted.predict_proba(rows)[:, 1]
    )
    return np.asarray(found, dtype=np.float64)


def _as_float(rows: NDArray[Any]) -> NDArray[Any]:
    """Pixels in single precision, which holds them exactly in half the memory; float64 stays what it is."""
    return rows.astype(np.result_type(rows.dtype, np.float32), copy=False)


def _pipeline(classifier: str, n_columns: int, n_components: int, seed: int) -> Any:
    # scikit-learn takes a second to import, which only the attacks that learn should cost.
    from sklearn.decomposition import PCA
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if classifier == "random_forest":  # no tree asks for one scale
        return RandomForestClassifier(n_estimators=100, random_state=seed)
    steps: list[Any] = [StandardScaler()]
    if n_columns > n_components:
        steps.append(PCA(n_components=n_components, svd_solver="randomized", random_state=seed))
    if classifier == "logistic":
        # Components come with the spread of the inputs; on one scale the penalty weighs them alike.
        steps += [StandardScaler()] if len(steps) > 1 else []
        steps.append(LogisticRegression(max_iter=1000))
    else:
        steps.append(HistGradientBoostingClassifier(max_iter=100, random_state=seed))
    return make_pipeline(*steps)
