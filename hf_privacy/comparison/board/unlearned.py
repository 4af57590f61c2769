"""How far unlearned models are from retrained ones: rows of the unlearning studies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hf_privacy.comparison.board.beside import Beside, beside

_ORIGINAL, _RETRAINED = "original", "retrained"
_MARKS = {_ORIGINAL: "nothing forgotten", _RETRAINED: "retrained"}
_TITLES = {_ORIGINAL: "the original", _RETRAINED: "retrained without it"}


def classifier_rows(result: dict[str, Any], *, path: Path) -> Iterator[dict[str, Any]]:
    """Give the rows of ``recipes/unlearning/table.py``: one a request and method.

    Yields
    ------
    dict
        ``distance`` from retraining (AvgGap, in [0, 1]), ``membership`` (MIA efficacy: the share of what was to be
        forgotten that an attack takes for unseen) and ``kept`` (accuracy on what was to be kept), each with its
        ``measure`` and ``mean``, ``low``, ``high``; ``time_ratio``, the time as a share of retraining's.
    """
    study = beside(path)
    for request, table in result.items():
        title = study.requests.get(request, {}).get("title", request)
        for name, row in table.items():
            if name == "sizes":
                continue
            figures = row["figures"]
            gap = {"mean": row["avg_gap"], "low": row["avg_gap_low"], "high": row["avg_gap_high"]}
            yield {
                **_common(name, row.get("title"), study, len(study.seeds)),
                "unit": "row",
                "request": title,
                "n_forget": table["sizes"][0],
                "attack": "mia_efficacy",
                "attack_title": "MIA efficacy",
                "distance": {"measure": "AvgGap", **gap},
                "membership": {"measure": "MIA efficacy", **figures["MIA"]},
                "kept": {"measure": "accuracy on the retained", **figures["RA"]},
                "time_ratio": row["time_ratio"],
            }


def language_rows(result: dict[str, Any], *, path: Path) -> Iterator[dict[str, Any]]:
    """Give the rows of ``recipes/unlearning/tofu.py``: one a request and method.

    Yields
    ------
    dict
        As `classifier_rows`, where ``distance`` is the Kolmogorov–Smirnov statistic of truth ratios (its mean over
        pairs of models, the smallest and the largest; of the retrained models, between themselves), ``membership``
        the AUC of the loss on what was to be forgotten, and ``kept`` the mean probability of the retained answers.
        None where every seed diverged.
    """
    study = beside(path)
    methods = result["config"]["methods"]
    for request, table in result["requests"].items():
        for name, row in table["rows"].items():
            title = methods[name]["title"] if name in methods else None
            quality = row.get("forget_quality")
            statistic = "null" if name == _RETRAINED else "statistic"
            yield {
                **_common(name, title, study, row["n_seeds"]),
                "unit": "author",
                "request": request,
                "n_forget": table["n_forget"],
                "attack": "loss",
                "attack_title": "LOSS",
                "distance": None
                if quality is None
                else {
                    "measure": "KS of truth ratios",
                    "mean": quality[statistic],
                    "low": quality[f"{statistic}_min"],
                    "high": quality[f"{statistic}_max"],
                },
                "membership": _figure(row, "auc", "AUC"),
                "kept": _figure(row, "retain_probability", "probability of the retained"),
                "time_ratio": row.get("time_ratio"),
            }


def _common(name: str, title: str | None, study: Beside, n_seeds: int) -> dict[str, Any]:
    return {
        "study": f"Unlearning on {study.data}",
        "data": study.data,
        "model": study.model,
        "title": title or _TITLES.get(name, name),
        "mark": _MARKS.get(name),
        "attack_control": False,
        "strongest": True,
        "over": f"{n_seeds} seeds",
    }


def _figure(row: dict[str, Any], name: str, measure: str) -> dict[str, Any] | None:
    found = row.get(name)
    return None if found is None else {"measure": measure, **{end: found[end] for end in ("mean", "low", "high")}}
