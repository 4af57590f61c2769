"""The numbers of a table of scores: checked, and brought to log-probabilities."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hf_privacy.auditing.score_table.columns import ScoreColumns
from hf_privacy.errors import InputError

# How far a row's probabilities may lie from 1 together: numbers rounded to a few places, and no class left out.
_SUM = 0.01
# What float32 arithmetic may leave above 0 or below it.
_ROUNDING = 1e-5


def numbers(table: pa.Table, columns: ScoreColumns) -> np.ndarray:
    """The scores as they stand: float64 [N, C] of all classes, [N] of the true class.

    Raises
    ------
    InputError
        For a column of anything but numbers, lists of different lengths, and values that are empty or NaN.
    """
    made = [_column(table[name], name) for name in columns.names]
    if len(made) > 1 and any(values.ndim > 1 for values in made):
        raise InputError(f"columns {', '.join(columns.names[:4])} hold lists: pass one column of lists, or numbers")
    values = made[0] if len(made) == 1 else np.stack(made, axis=1)
    if values.ndim == 2 and values.shape[1] < 2:
        raise InputError(f"the table scores {values.shape[1]} class: pass the scores of all classes, at least two")
    return values


def log_scores(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of every class, or logits: float64 [N, C], finite; and which rows held a probability of 0.

    A probability of exactly 0 was rounded to it. It is taken as half the smallest one above 0 that the table holds, so
    that it stays below every other and is finite. Nothing is normalized: the signals are made as of logits.

    Parameters
    ----------
    values : float64 array of shape [N, C]
    kind : {"probability", "log_probability", "logit"}

    Raises
    ------
    InputError
        For probabilities below 0, above 1 or that do not add up to 1, log-probabilities above 0, infinite logits.

    Examples
    --------
    >>> scores, zero = log_scores(np.array([[0.75, 0.25], [1.0, 0.0]]), "probability")
    >>> np.exp(scores).round(3).tolist(), zero.tolist()
    ([[0.75, 0.25], [1.0, 0.125]], [False, True])
    """
    _check_range(values, kind)
    if kind == "logit":
        return values, np.zeros(len(values), dtype=bool)
    with np.errstate(divide="ignore"):
        logs = np.log(values) if kind == "probability" else values.copy()
    top = logs.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        sums = np.exp(top[:, 0]) * np.exp(logs - top).sum(axis=1)
    wrong = ~(np.abs(sums - 1.0) <= _SUM)
    if wrong.any():
        furthest = sums[wrong][np.argmax(np.abs(np.nan_to_num(sums[wrong]) - 1.0))]
        raise InputError(
            f"the probabilities of {int(wrong.sum()):,} of {len(sums):,} rows do not add up to 1 (one row's to "
            f"{np.nan_to_num(furthest):.4g}): pass those of every class, or say what the columns hold with "
            "--score-kind, such as logit"
        )
    return _above_zero(logs)


def true_class(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probability of the true class, that of all others together, each float64 [N]; and rows of exactly 0 or 1.

    Each is made where it is exact: the second of log p near 1 by ``log(−expm1(log p))``, never by a rounded p.

    Parameters
    ----------
    values : float64 array of shape [N]
    kind : {"probability", "log_probability", "loss"}

    Raises
    ------
    InputError
        For probabilities outside [0, 1], log-probabilities above 0, losses below 0.

    Examples
    --------
    >>> log_p, log_others, ended = true_class(np.array([0.25, 1.0]), "probability")
    >>> np.exp(log_others).tolist(), ended.tolist()
    ([0.75, 0.375], [False, True])
    """
    _check_range(values, kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "probability":
            log_p, log_others = np.minimum(np.log(values), 0.0), np.log1p(-values)
        else:
            log_p = np.minimum(values if kind == "log_probability" else -values, 0.0)
            small = log_p < -np.log(2.0)
            log_others = np.where(small, np.log1p(-np.exp(log_p)), np.log(-np.expm1(log_p)))
    log_p, zero = _above_zero(log_p)
    log_others, one = _above_zero(log_others)
    return log_p, log_others, zero | one


def _column(values: pa.ChunkedArray, name: str) -> np.ndarray:
    kind = values.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    inner = kind.value_type if is_list else kind
    if not (pa.types.is_integer(inner) or pa.types.is_floating(inner)):
        raise InputError(f"column {name!r} holds {inner} and scores are numbers: name other columns")
    n_rows = len(values)
    if is_list:
        if values.null_count:
            raise InputError(f"column {name!r} is empty in {values.null_count:,} rows: every record needs its scores")
        lengths = pc.list_value_length(values).to_numpy()
        if (lengths != lengths[0]).any():
            raise InputError(
                f"column {name!r} holds lists of {lengths.min()} to {lengths.max()} numbers: pass one a class each"
            )
        values = pc.list_flatten(values)
    made = values.cast(pa.float64()).to_numpy()
    if is_list:
        made = made.reshape(n_rows, int(lengths[0]))
    bad = int(np.isnan(made).sum())
    if bad:
        raise InputError(f"column {name!r} is empty or NaN in {bad:,} places: every record needs its scores")
    return made


def _check_range(values: np.ndarray, kind: str) -> None:
    low, high = float(values.min()), float(values.max())
    if kind == "logit" and not np.isfinite([low, high]).all():
        raise InputError("the logits hold infinite values: pass finite ones, or probabilities")
    if kind == "probability" and (low < 0 or high > 1 + _ROUNDING):
        raise InputError(
            f"the probabilities reach from {low:.4g} to {high:.4g}: pass numbers in [0, 1], or say what the columns "
            "hold with --score-kind, such as logit"
        )
    if kind == "log_probability" and high > _ROUNDING:
        raise InputError(
            f"the log-probabilities go up to {high:.4g}: they are at most 0; pass minus a loss, or say what the "
            "columns hold with --score-kind, such as logit"
        )
    if kind == "loss" and low < -_ROUNDING:
        raise InputError(
            f"the losses go down to {low:.4g}: pass a loss of at least 0, in nats, or say with --score-kind that it "
            "is a log_probability"
        )


def _above_zero(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Minus infinity, a probability of 0, as half the smallest that is there; and which rows held one."""
    # A probability that rounding left above 1 has a complement below 0: NaN here, and as good as 0.
    ended = ~np.isfinite(logs)
    if not ended.any():
        return logs, np.zeros(len(logs), dtype=bool)
    there = logs[~ended]
    floor = (there.min() if there.size else np.log(0.5)) - np.log(2.0)
    return np.where(ended, floor, logs), ended.reshape(len(logs), -1).any(axis=1)
