"""From the tokens of a language model's table to one score per row and attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hf_privacy import attacks
from hf_privacy.attacks.zlib import compressed_bytes
from hf_privacy.auditing.extras import n_to_fit_quantiles_on, quantile_regression
from hf_privacy.auditing.made import Made, Score, ScoreSettings
from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.tokens import TokenTable

if TYPE_CHECKING:
    from hf_privacy.signals import TokenSignals

# Reference models that leave a row of random halves two a side, which the variance around its mean needs.
_FEWEST_REFERENCES = 4
# Non-members up to which quantiles are straight lines: trees of 20 a leaf see little there; beyond, lines are slow.
_MOST_FOR_LINES = 1000
_COMBINED = ("loss", "min_k", "min_k_plus_plus", "mean_entropy")


def length_bins(table: SignalTable) -> dict[str, np.ndarray]:
    """RMIA's ``bins`` and ``population_bins`` of sequences; none without a population set aside.

    A row of a bin that is compared with itself too would have that over the others (see `hf_privacy.attacks.rmia`).
    """
    if table.tokens is None or not table.has_population:
        return {}
    lengths = table.mean("n_tokens")
    bins, population_bins = attacks.length_bins(lengths[: table.n_pool], lengths[table.n_pool :])
    return {"bins": bins, "population_bins": population_bins}


def _tokens(table: SignalTable) -> TokenTable:
    assert table.tokens is not None
    return table.tokens


def _texts(table: SignalTable) -> list[str]:
    texts = _tokens(table).texts
    assert texts is not None
    return list(texts)


def _pool(tokens: TokenSignals, table: SignalTable) -> TokenSignals:
    """The tokens of the pool's rows, not copied."""
    offsets = tokens.offsets[: table.n_pool + 1]
    flat = (tokens.log_prob, tokens.mean, tokens.variance, tokens.greedy)
    return type(tokens)(*(values[: offsets[-1]] for values in flat), offsets)


def _target(table: SignalTable) -> TokenSignals:
    return _pool(_tokens(table).target, table)


def _reference_log_probs(table: SignalTable) -> list[np.ndarray]:
    tokens = _tokens(table)
    return [row[: tokens.offsets[table.n_pool]] for row in tokens.references]


def _surp(table: SignalTable, settings: ScoreSettings) -> np.ndarray:
    tokens = _target(table)
    return attacks.surp(tokens.log_prob, tokens.mean, tokens.offsets)


def _window_comparison(table: SignalTable, settings: ScoreSettings) -> np.ndarray | None:
    base = _tokens(table).base
    if base is None:
        return None
    tokens = _target(table)
    return attacks.window_comparison(tokens.log_prob, _pool(base, table).log_prob, tokens.offsets)


def _window_comparison_references(table: SignalTable, settings: ScoreSettings) -> np.ndarray:
    tokens = _target(table)
    return attacks.window_comparison(
        tokens.log_prob,
        _reference_log_probs(table),
        tokens.offsets,
        reference_membership=table.reference_pool_membership,
    )


def _quantile_regression(table: SignalTable, settings: ScoreSettings) -> Made | None:
    n_fitted = n_to_fit_quantiles_on(table, settings.seed)
    if not n_fitted:
        return None
    features, names = [np.log(table.mean("n_tokens"))], ["length"]
    if table.has("texts"):
        texts = _texts(table)
        features.append(np.log(compressed_bytes(texts, n_examples=len(texts))))
        names.append("zlib")
    if table.base is not None:
        features.append(table.base["loss"].mean(axis=0))
        names.append("base loss")
    estimator = "linear" if n_fitted <= _MOST_FOR_LINES else "gradient_boosting"
    scores, n_folds = quantile_regression(
        table, -table.mean("loss"), np.stack(features, axis=-1), seed=settings.seed, estimator=estimator
    )
    parameters = {"features": sorted(names), "estimator": estimator}
    return Made(scores, parameters, f"{n_folds}-fold" if n_folds else "")


def _token_lira(mode: str) -> Score:
    def score(table: SignalTable, settings: ScoreSettings) -> Made | None:
        if table.n_references < _FEWEST_REFERENCES:
            return None
        tokens, parameters = _target(table), {"mode": mode, "shrinkage": 0.5}
        scores = attacks.token_lira(
            tokens.log_prob,
            _reference_log_probs(table),
            tokens.offsets,
            table.reference_pool_membership,
            **parameters,
        )
        return Made(scores, parameters, mode)

    return score


def _combined_features(table: SignalTable, settings: ScoreSettings) -> Made:
    """Loss, Min-K %, Min-K %++, mean entropy and base difference, weighed as tells the references' members."""
    target, references = ([read(name) for name in _COMBINED] for read in (table.pool, table.reference_pool))
    names = list(_COMBINED)
    if table.base is not None:
        base = table.base["loss"].mean(axis=0)[: table.n_pool]
        for columns in (target, references):
            columns.append(columns[_COMBINED.index("loss")] - base)
        names.append("base_difference")
    scores = attacks.shadow_classifier(
        np.stack(target, axis=-1),
        np.stack(references, axis=-1),
        table.reference_pool_membership,
        seed=settings.seed,
    )
    return Made(scores, {"features": names})


TOKEN_SCORES: dict[str, Score] = {
    "loss_sum": lambda table, _: attacks.loss(table.pool("loss_sum")),
    "min_k": lambda table, _: Made(table.pool("min_k"), {"k": 0.2}),
    "min_k_plus_plus": lambda table, _: Made(table.pool("min_k_plus_plus"), {"k": 0.2}),
    "surp": _surp,
    "zlib": lambda table, _: attacks.zlib(table.pool("loss"), _texts(table)[: table.n_pool]),
    "lowercase": lambda table, _: attacks.lowercase(
        table.pool("loss"), table.extras["lowercase_loss"][: table.n_pool]
    ),
    "recall": lambda table, _: attacks.recall(table.pool("loss"), table.extras["recall_loss"][: table.n_pool]),
    "window_comparison": _window_comparison,
    "token_quantile_regression": _quantile_regression,
    "length": lambda table, _: -table.pool("n_tokens"),
    "reference_difference": lambda table, _: attacks.reference_difference(
        -table.pool("loss"), -table.reference_pool("loss"), table.reference_pool_membership
    ),
    "window_comparison_references": _window_comparison_references,
    "token_lira": _token_lira("online"),
    "token_lira_offline": _token_lira("offline"),
    "combined_features": _combined_features,
}
