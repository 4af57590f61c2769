"""Unlearning gap: how far UA, RA, TA and MIA efficacy are from those of retraining, beside retraining's own noise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_number, seen
from hf_privacy.errors import InputError
from hf_privacy.forgetting.inputs import zero_one_vector
from hf_privacy.forgetting.mia_efficacy import mia_efficacy
from hf_privacy.statistics import t_interval
from hf_privacy.statistics.checks import check_confidence

FIGURES = ("UA", "RA", "TA", "MIA")
# Where each figure, and a mean distance between them, can lie.
_SHARE = (0.0, 1.0)

Log = Mapping[str, Any]


def unlearning_figures(
    forget_correct: ArrayLike,
    retain_correct: ArrayLike,
    test_correct: ArrayLike,
    *,
    forget_scores: ArrayLike | None = None,
    retain_scores: ArrayLike | None = None,
    test_scores: ArrayLike | None = None,
    attack: str = "threshold",
) -> dict[str, float]:
    """The figures of one model from arrays: what `unlearning_gap` compares, and what is worth storing in a log.

    Parameters
    ----------
    forget_correct, retain_correct, test_correct : array-like of 0/1, shapes [F], [R], [T]
        1 where the model classifies the example right.
    forget_scores, retain_scores, test_scores : array-like of float, shapes [F], [R], [T], optional
        Membership scores, higher for likelier members, for the MIA efficacy: all three or none.
    attack : {"threshold", "logistic"}, default "threshold"
        As in `mia_efficacy`.

    Returns
    -------
    dict
        ``UA`` = 1 − accuracy on the forget set, ``RA`` and ``TA``, accuracy on the retain and test set, and with
        scores ``MIA``; each in [0, 1].

    Raises
    ------
    InputError
        If an array is empty or holds anything but 0 and 1, only some of the scores are given, and as `mia_efficacy`.

    Examples
    --------
    >>> unlearning_figures([1, 0], [1, 1, 1, 1], [1, 1, 1, 0])
    {'UA': 0.5, 'RA': 1.0, 'TA': 0.75}
    """
    forget = zero_one_vector("forget_correct", forget_correct)
    figures = {
        "UA": int(np.count_nonzero(~forget)) / len(forget),
        "RA": float(zero_one_vector("retain_correct", retain_correct).mean()),
        "TA": float(zero_one_vector("test_correct", test_correct).mean()),
    }
    scores = {"forget_scores": forget_scores, "retain_scores": retain_scores, "test_scores": test_scores}
    missing = [name for name, values in scores.items() if values is None]
    if len(missing) == len(scores):
        return figures
    if forget_scores is None or retain_scores is None or test_scores is None:
        raise InputError(f"{missing[0]} is missing: pass the scores of all three sets, or none")
    found = mia_efficacy(forget_scores, retain_scores, test_scores, attack=attack)  # type: ignore[arg-type]
    return figures | {"MIA": found["mia_efficacy"]}


def unlearning_gap(
    unlearned: Log | Sequence[Log],
    retrained: Log | Sequence[Log],
    *,
    figures: Sequence[str] = FIGURES,
    confidence: float = 0.95,
) -> dict[str, Any]:
    """Gap of unlearned models to retrained ones, figure by figure and on average.

    Parameters
    ----------
    unlearned, retrained : dict, or sequence of dict
        One per model (seed): its figures as `unlearning_figures` gives them, or a stored log that holds them among
        other things. Fractions in [0, 1], not percent. Seeds need not correspond.
    figures : sequence of str, default ("UA", "RA", "TA", "MIA")
        Which to compare.
    confidence : float, default 0.95

    Returns
    -------
    dict
        - ``figures``: for each name a dict of ``unlearned`` and ``retrained`` (means over the models), ``gap`` (the
          first less the second), ``unlearned_low`` … ``retrained_high`` (Student's t over the models; None for a
          single one), ``retrained_std`` (None for a single one) and ``gap_in_noise`` (gap over that deviation; None
          below 3 retrained models, and where they all agree although the gap is not 0);
        - ``avg_gap``: the mean over unlearned models of each one's AvgGap, its mean absolute gap to the mean of the
          retrained models, with ``avg_gap_low``, ``avg_gap_high`` over the models;
        - ``avg_gap_of_means``: the mean absolute gap between the two means, the convention of published tables. For
          one unlearned model it is the same; with more of them it is smaller, since noise averages out;
        - ``null``: the retrain-vs-retrain row, None for a single retrained model: ``avg_gap`` of each retrained model
          to the mean of the others, averaged, with ``avg_gap_low``, ``avg_gap_high`` and ``figures``, the mean
          absolute gap of each figure. **No unlearner can be expected to do better**;
        - ``avg_gap_in_noise``: ``avg_gap`` over the null's: about 1 for an unlearner that is as good as retraining;
          None below 3 retrained models, and where these all agree;
        - ``n_unlearned``, ``n_retrained``, ``confidence``.

    Raises
    ------
    InputError
        If there is no model on a side, a figure is missing from a log, is no finite number or lies outside [0, 1].

    Notes
    -----
    The retrained models leave each other out one at a time, so these gaps share models: the interval of the null is
    a rough one. Of 2 retrained models both gaps are one and the same number, and the interval has no width: it is
    None.

    References
    ----------
    Fan et al., "SalUn", ICLR 2024 (the figures and their average gap). The null row and the units of noise are ours.

    Examples
    --------
    >>> retrained = [{"UA": 0.05, "TA": 0.94}, {"UA": 0.07, "TA": 0.95}, {"UA": 0.06, "TA": 0.93}]
    >>> result = unlearning_gap({"UA": 0.02, "TA": 0.93}, retrained, figures=["UA", "TA"])
    >>> round(result["avg_gap"], 3), round(result["null"]["avg_gap"], 3), round(result["avg_gap_in_noise"], 2)
    (0.025, 0.01, 2.5)
    """
    level = check_confidence(confidence)
    if not isinstance(figures, (list, tuple)) or not figures or not all(isinstance(name, str) for name in figures):
        raise InputError(f"figures is {seen(figures)}: pass a list of names such as {list(FIGURES)}")
    ours = _figure_table("unlearned", unlearned, figures)
    theirs = _figure_table("retrained", retrained, figures)
    n_retrained = len(theirs)
    gaps = ours.mean(axis=0) - theirs.mean(axis=0)
    per_model = np.abs(ours - theirs.mean(axis=0)).mean(axis=1)
    low, high = t_interval(per_model, within=_SHARE, confidence=level)
    null = _retrain_against_retrain(theirs, figures, level) if n_retrained > 1 else None
    per_figure = {}
    for column, name in enumerate(figures):
        unlearned_ends = t_interval(ours[:, column], within=_SHARE, confidence=level)
        retrained_ends = t_interval(theirs[:, column], within=_SHARE, confidence=level)
        deviation = _deviation(theirs[:, column]) if n_retrained > 1 else None
        per_figure[name] = {
            "unlearned": float(ours[:, column].mean()),
            "unlearned_low": unlearned_ends[0],
            "unlearned_high": unlearned_ends[1],
            "retrained": float(theirs[:, column].mean()),
            "retrained_low": retrained_ends[0],
            "retrained_high": retrained_ends[1],
            "retrained_std": deviation,
            "gap": float(gaps[column]),
            "gap_in_noise": _in_noise(float(gaps[column]), deviation, n_retrained),
        }
    avg_gap = float(per_model.mean())
    return {
        "figures": per_figure,
        "avg_gap": avg_gap,
        "avg_gap_low": low,
        "avg_gap_high": high,
        "avg_gap_of_means": float(np.abs(gaps).mean()),
        "null": null,
        "avg_gap_in_noise": _in_noise(avg_gap, None if null is None else null["avg_gap"], n_retrained),
        "n_unlearned": len(ours),
        "n_retrained": n_retrained,
        "confidence": level,
    }


def gap_table(result: dict[str, Any]) -> str:
    """The result of `unlearning_gap` as a Markdown table, in points (percent), the retrain-vs-retrain row last.

    Examples
    --------
    >>> retrained = [{"UA": 0.05, "TA": 0.94}, {"UA": 0.07, "TA": 0.95}, {"UA": 0.06, "TA": 0.93}]
    >>> print(gap_table(unlearning_gap({"UA": 0.02, "TA": 0.93}, retrained, figures=["UA", "TA"])))
    |  | UA | TA | AvgGap |
    |---|---|---|---|
    | retrained (3) | 6.00 | 94.00 |  |
    | unlearned (1) | 2.00 | 93.00 | 2.50 |
    | gap | -4.00 | -1.00 |  |
    | retrain vs retrain | 1.00 | 1.00 | 1.00 |
    """
    names = list(result["figures"])
    rows = [
        ["", *names, "AvgGap"],
        ["---"] * (len(names) + 2),
        [f"retrained ({result['n_retrained']})", *_points(result["figures"], "retrained"), ""],
        [f"unlearned ({result['n_unlearned']})", *_points(result["figures"], "unlearned"), _point(result["avg_gap"])],
        ["gap", *_points(result["figures"], "gap"), ""],
    ]
    null = result["null"]
    if null is None:
        rows.append(["retrain vs retrain", *["one retrained model has none"] * (len(names) + 1)])
    else:
        rows.append(
            ["retrain vs retrain", *(_point(null["figures"][name]) for name in names), _point(null["avg_gap"])]
        )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines[1] = lines[1].replace(" ", "")
    return "\n".join(lines)


def _point(value: float) -> str:
    return f"{100 * value:.2f}"


def _points(figures: dict[str, dict[str, float]], key: str) -> list[str]:
    return [_point(figure[key]) for figure in figures.values()]


def _retrain_against_retrain(theirs: NDArray[np.float64], figures: Sequence[str], confidence: float) -> dict[str, Any]:
    n_models = len(theirs)
    # Distance of a model to the mean of the others: n/(n − 1) times that to the mean of all. Differences are taken
    # from the first model, so that models that agree are exactly alike.
    moved = theirs - theirs[0]
    gaps = np.abs(moved - moved.mean(axis=0)) * n_models / (n_models - 1)
    per_model = gaps.mean(axis=1)
    ends: tuple[float | None, float | None] = (None, None)
    if n_models > 2:
        ends = t_interval(per_model, within=_SHARE, confidence=confidence)
    return {
        "avg_gap": float(per_model.mean()),
        "avg_gap_low": ends[0],
        "avg_gap_high": ends[1],
        "figures": {name: float(gap) for name, gap in zip(figures, gaps.mean(axis=0), strict=True)},
    }


def _deviation(values: NDArray[np.float64]) -> float:
    return float((values - values[0]).std(ddof=1))


def _in_noise(gap: float, noise: float | None, n_retrained: int) -> float | None:
    if noise is None or n_retrained < 3:
        return None
    if noise == 0:  # the retrained models all agree: a gap of 0 is none in any unit, and another has no size in it
        return 0.0 if gap == 0 else None
    return gap / noise


def _figure_table(name: str, logs: Log | Sequence[Log], figures: Sequence[str]) -> NDArray[np.float64]:
    """One row per model, one column per figure."""
    if isinstance(logs, (str, bytes)) or not isinstance(logs, Iterable):
        raise InputError(f"{name} is {seen(logs)}: pass a dict of figures, or a list with one per model")
    models = [logs] if isinstance(logs, Mapping) else list(logs)
    if not models:
        raise InputError(f"{name} is empty: pass the figures of at least one model")
    table = np.empty((len(models), len(figures)))
    for row, log in enumerate(models):
        if not isinstance(log, Mapping):
            raise InputError(f"{name}[{row}] is {type(log).__name__}: pass a dict of figures, one per model")
        for column, figure in enumerate(figures):
            table[row, column] = _figure(f"{name}[{row}]", log, figure)
    return table


def _figure(name: str, log: Log, figure: str) -> float:
    if figure not in log:
        raise InputError(f"{name} lacks {figure}: store it in the log, or name the figures to compare in `figures`")
    value = log[figure]
    return check_number(f"{figure} of {name}", value, 0.0, 1.0, such_as="0.05 for 5 percent")
