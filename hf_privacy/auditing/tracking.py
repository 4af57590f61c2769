"""Send an audit's figures where its training was tracked: every tracker that transformers knows.

Figures alone are sent: no example, no list, no path and no setting. They are sent once the report is written, and a
tracker that fails is warned of.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import get_reporting_integration_callbacks

from hf_privacy.errors import one_line

# `eval_` is how transformers' trackers know what is no loss of a training: they file it under "eval/".
AUDIT, UNLEARNING = "eval_audit", "eval_unlearning"


def audit_figures(report: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a report by the names that trackers get.

    ``eval_audit/<attack>/auc`` and ``eval_audit/<attack>/tpr_at_fpr_0.01`` with the ends of their intervals
    (``_low``, ``_high``), those of the model's worth, and ε (``eval_audit/epsilon_upper``, ``_lower``).

    Parameters
    ----------
    report : mapping
        As `PrivacyReport.to_dict` gives it.

    Examples
    --------
    >>> audit_figures({"attacks": [], "utility": {"member_accuracy": {"value": 1.0, "low": 0.9, "high": 1.0}},
    ...                "epsilon": {"upper": 3.0, "lower": None}})
    {'eval_audit/member_accuracy': 1.0, 'eval_audit/member_accuracy_low': 0.9, 'eval_audit/member_accuracy_high': 1.0,
    'eval_audit/epsilon_upper': 3.0}
    """
    found: dict[str, Any] = {}
    for attack in report["attacks"]:
        name = f"{AUDIT}/{attack['name']}"
        found |= {f"{name}/{figure}": attack[figure] for figure in ("auc", "auc_low", "auc_high")}
        for entry in attack["tpr_at_fpr"]:
            at = f"{name}/tpr_at_fpr_{entry['fpr']:g}"
            found |= {at: entry["tpr"], f"{at}_low": entry["low"], f"{at}_high": entry["high"]}
    for name, figure in report["utility"].items():
        found |= dict(_with_ends(f"{AUDIT}/{name}", figure))
    found |= {f"{AUDIT}/epsilon_{side}": report["epsilon"].get(side) for side in ("upper", "lower")}
    return _numbers(found)


def unlearning_figures(section: Mapping[str, Any]) -> dict[str, float]:
    """The figures of an unlearning by the names that trackers get: ``eval_unlearning/after/UA`` and so on, the gap."""
    found: dict[str, Any] = {}
    for stage, figures in section["figures"].items():
        for figure in figures or ():
            found |= dict(_with_ends(f"{UNLEARNING}/{stage}/{figure['name']}", figure))
    if section["gap"] is not None:
        found[f"{UNLEARNING}/gap"] = section["gap"]["average"]
    return _numbers(found)


def send_figures(figures: Mapping[str, float], args: TrainingArguments, *, step: int = 0) -> None:
    """Log figures to the trackers of ``args.report_to``, in a run of the training's name.

    Parameters
    ----------
    figures : mapping of str to float
    args : TrainingArguments
        Those of the training; of these only where and under which name to log is used.
    step : int
        Where on the trackers' axis: the steps the model was trained for.
    """
    state = TrainerState(global_step=step, is_world_process_zero=True, is_local_process_zero=True)
    control, args = TrainerControl(), _without_settings(args)
    for kind in get_reporting_integration_callbacks(args.report_to):
        if kind.on_log is TrainerCallback.on_log:  # it measures the training itself
            continue
        try:
            tracker = kind()
            tracker.on_train_begin(args, state, control, model=None)
            tracker.on_log(args, state, control, model=None, logs=dict(figures))
            tracker.on_train_end(args, state, control, model=None)
            end_run(tracker)
        except Exception as error:  # each tracker's own, and of the network
            warnings.warn(
                f"the figures did not reach {kind.__name__.removesuffix('Callback')} ({type(error).__name__}: "
                f"{one_line(error)}); they are in the report",
                stacklevel=2,
            )


def end_run(tracker: TrainerCallback) -> None:
    """End a run of Weights & Biases, which alone leaves it open: the next of this process would go on in it."""
    library = getattr(tracker, "_wandb", None)
    if library is not None and library.run is not None:
        library.finish()


def _without_settings(args: TrainingArguments) -> TrainingArguments:
    """The arguments as trackers that record all of them see none: paths are among them, and the training sent them."""
    bare = copy.copy(args)
    for name, nothing in (("to_dict", {}), ("to_sanitized_dict", {}), ("to_json_string", "{}")):
        setattr(bare, name, lambda nothing=nothing: copy.copy(nothing))
    return bare


def _with_ends(name: str, figure: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(figure, Mapping):
        yield name, figure.get("value")
        yield f"{name}_low", figure.get("low")
        yield f"{name}_high", figure.get("high")
    else:
        yield name, figure


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    """Without what could not be resolved, or is no number."""
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
