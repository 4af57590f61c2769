"""A classifier that learns from reference models what signals members have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice, check_seed, check_whole
from hf_privacy.arrays import class_labels, finite, real_array
from hf_privacy.attacks.feature_inputs import feature_matrix
from hf_privacy.attacks.reference_rows import References, blocks, membership_rows
from hf_privacy.errors import InputError

_CLASSIFIERS = ("logistic", "mlp", "forest")
_N_TREES = 200


def shadow_classifier(
    signals: ArrayLike,
    reference_signals: References,
    reference_membership: References,
    *,
    classifier: Literal["logistic", "mlp", "forest"] = "logistic",
    labels: ArrayLike | None = None,
    max_rows: int = 100_000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Log-odds of membership, by a classifier trained on (signals of a reference model, was it trained on it).

    All pairs of reference model and example are one training set, so one reference model is enough, and an example may
    be IN or OUT for all of them. What the classifier learns is common to all examples (of a class): how hard a single
    example is, as LiRA and RMIA know, it only sees where a signal tells.

    Parameters
    ----------
    signals : array-like of float, shape [N] or [N, F]
        Signals of the target model on each example, such as φ, entropy and modified entropy, or sorted posteriors.
    reference_signals : array-like of float, shape [K, N] or [K, N, F]
        The same of each reference model: an array, or a list of K arrays. Read one model at a time.
    reference_membership : array-like of bool, shape [K, N]
        True where reference model k was trained on example n.
    classifier : {"logistic", "mlp", "forest"}, default "logistic"
        Logistic regression; a network with one hidden layer of 64; 200 trees of 20 examples a leaf at least, whose
        scores tie. Each on standardised signals. No paper gives all their settings: these are ours.
    labels : array-like of int, shape [N], optional
        True class of each example, from 0: one classifier a class, as in the first of the papers.
    max_rows : int, default 100,000
        Most rows to train a classifier on, ≥ 2; drawn without replacement where there are more.
    seed : int, default 0
        Of that draw and of the fit. The same arguments give the same scores.

    Returns
    -------
    float64[N]
        Log-odds less those of the training rows, so that 0 is "no evidence" whatever the share of IN; higher for
        likelier members. Of mlp and logistic they are taken before a probability could round to 1 and tie.

    Raises
    ------
    InputError
        If shapes disagree, a signal is NaN or infinite, membership is not boolean, the classifier is unknown, max_rows
        or seed is out of range, or the rows to train a classifier on are all IN or all OUT.

    References
    ----------
    Shokri et al., "Membership inference attacks against machine learning models", IEEE S&P 2017 (arXiv 1610.05820);
    Salem et al., "ML-Leaks", NDSS 2019 (arXiv 1806.01246), adversary 1, with one shadow model.

    Examples
    --------
    >>> import numpy as np
    >>> generator = np.random.default_rng(0)
    >>> membership = generator.random((4, 500)) < 0.5
    >>> references = generator.normal(2.0 * membership)
    >>> scores = shadow_classifier(np.linspace(-1.0, 3.0, 500), references, membership)
    >>> scores[[0, 250, 499]].round(0) + 0.0  # the log-odds at φ are 2·(φ − 1)
    array([-4.,  0.,  4.])
    """
    check_choice("classifier", classifier, _CLASSIFIERS)
    max_rows = check_whole("max_rows", max_rows, at_least=2)
    seed = check_seed(seed)
    target = real_array("signals", signals)
    if target.ndim not in (1, 2) or target.size == 0:
        raise InputError(f"signals has shape {target.shape}: pass [N] or [N, F], at least one example")
    references = _reference_rows(reference_signals, target.shape)
    membership = membership_rows("reference_membership", reference_membership, (len(references), len(target)))
    features = feature_matrix("signals", target.reshape(len(target), -1), len(target))
    groups = (
        np.zeros(len(target), np.int64) if labels is None else class_labels("labels", labels, n_examples=len(target))
    )

    drawn = _draw(groups, len(references), max_rows, np.random.default_rng(seed))
    rows, row_membership, row_groups = _gather(references, membership, groups, drawn)
    scores = np.empty(len(target))
    for group in np.unique(groups):
        chosen = row_groups == group
        truth = row_membership[chosen]
        if truth.all() or not truth.any():
            which = "" if labels is None else f" of class {group}"
            raise InputError(
                f"reference_membership holds only {'IN' if truth.all() else 'OUT'} in the {len(truth):,} rows{which} "
                "to train on: pass reference models of both sides, or raise max_rows"
            )
        columns = groups == group
        scores[columns] = _log_odds(classifier, rows[chosen], truth, features[columns], seed)
    return scores


def _reference_rows(reference_signals: References, target_shape: tuple[int, ...]) -> list[NDArray[Any]]:
    """The K tables [N, F] or vectors [N], not stacked and not copied where they are arrays already."""
    parts: Any = reference_signals
    if not isinstance(parts, (list, tuple)):
        parts = real_array("reference_signals", parts)
        if parts.ndim == 0:
            raise InputError("reference_signals is a single number: pass one row per reference model")
    rows = [real_array("reference_signals", part) for part in parts]
    if not rows:
        raise InputError("reference_signals is empty: pass at least one reference model")
    for row in rows:
        if row.shape != target_shape:
            raise InputError(
                f"reference_signals has a reference model of shape {row.shape} and signals {target_shape}: "
                "pass the same signals of the same examples for each"
            )
    return rows


def _draw(
    groups: NDArray[np.int64], n_references: int, max_rows: int, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Examples to take from each reference model, at most ``max_rows`` a group in all."""
    models, examples = [], []
    for group in np.unique(groups):
        columns = np.flatnonzero(groups == group)
        n_rows = n_references * len(columns)
        if n_rows > max_rows:
            positions = np.sort(generator.choice(n_rows, size=max_rows, replace=False, shuffle=False))
        else:
            positions = np.arange(n_rows)
        models.append(positions // len(columns))
        examples.append(columns[positions % len(columns)])
    model, example = np.concatenate(models), np.concatenate(examples)
    return [example[model == number] for number in range(n_references)]


def _gather(
    references: list[NDArray[Any]],
    membership: list[NDArray[np.bool_]],
    groups: NDArray[np.int64],
    drawn: list[NDArray[np.int64]],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Signals, membership and group of the rows drawn. Every reference value is looked at, drawn or not."""

    def parts() -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]]:
        for row, row_membership, examples in zip(references, membership, drawn, strict=True):
            values = finite("reference_signals", row).reshape(len(row), -1)
            yield values[examples], row_membership[examples], groups[examples]

    rows, row_membership, row_groups = zip(*parts(), strict=True)
    return np.concatenate(rows), np.concatenate(row_membership), np.concatenate(row_groups)


def _log_odds(
    classifier: str, rows: NDArray[np.float64], truth: NDArray[np.bool_], features: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    # scikit-learn takes a second to import, which only the attacks that learn should cost.
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    prior = np.log(truth.sum() / (~truth).sum())
    if classifier == "logistic":
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(rows, truth)
        weights = pipeline[1].coef_.T, pipeline[1].intercept_
        return _last_layer([weights], pipeline[0].transform(features)) - prior
    if classifier == "mlp":
        network = MLPClassifier(hidden_layer_sizes=(64,), max_iter=200, random_state=seed)
        pipeline = make_pipeline(StandardScaler(), network).fit(rows, truth)
        layers = list(zip(network.coefs_, network.intercepts_, strict=True))
        return _last_layer(layers, pipeline[0].transform(features)) - prior
    forest = RandomForestClassifier(n_estimators=_N_TREES, min_samples_leaf=20, random_state=seed)
    pipeline = make_pipeline(StandardScaler(), forest).fit(rows, truth)
    # Half a tree's vote on either side: a share of 0 or 1 is not infinite evidence.
    share = (pipeline.predict_proba(features)[:, 1] * _N_TREES + 0.5) / (_N_TREES + 1.0)
    return np.log(share / (1.0 - share)) - prior


def _last_layer(
    layers: list[tuple[NDArray[np.float64], NDArray[np.float64]]], features: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Output of a network of rectified layers (weights, biases) before its sigmoid, which rounds to 1 from 37 on.

    Summed up column by column: a matrix product adds the rows at the end of a table in another order than the others,
    so that equal examples would differ in the last bit by where they stand.
    """
    scores = np.empty(len(features))
    for block in blocks(len(features)):
        values = features[block]
        for depth, (weights, biases) in enumerate(layers):
            rows = np.maximum(values, 0.0) if depth else values
            values = np.tile(biases, (len(rows), 1))
            for column, row_weights in zip(rows.T, weights, strict=True):
                values += column[:, np.newaxis] * row_weights
        scores[block] = values[:, 0]
    return scores
