"""`evaluate` modules, one folder each: thin doors to `hf_privacy.attacks` and `hf_privacy.statistics`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hf_privacy.errors import InputError
from hf_privacy.metrics.checked_inputs import AttackMetric, CheckedInputs, TokenAttackMetric
from hf_privacy.metrics.info import metric_info, title_and_summary
from hf_privacy.metrics.values import attack_summary, by_model, flatten_summary, named_figures, zero_one

if TYPE_CHECKING:
    import evaluate

__all__ = [
    "AttackMetric",
    "CheckedInputs",
    "TokenAttackMetric",
    "attack_summary",
    "by_model",
    "flatten_summary",
    "load_metric",
    "metric_descriptions",
    "metric_folder",
    "metric_info",
    "metric_names",
    "named_figures",
    "zero_one",
]

_FOLDER = Path(__file__).parent


def metric_names() -> list[str]:
    """Names of the `evaluate` modules that ship with the package.

    Examples
    --------
    >>> "lira" in metric_names()
    True
    """
    return sorted(folder.name for folder in _FOLDER.iterdir() if (folder / f"{folder.name}.py").is_file())


def metric_folder(name: str) -> Path:
    """Folder of one of the package's `evaluate` modules: what `evaluate.load` takes.

    Raises
    ------
    InputError
        If there is no metric of that name: the message lists those there are.

    Examples
    --------
    >>> metric_folder("lira").name
    'lira'
    """
    names = metric_names()
    if name not in names:
        raise InputError(f"there is no metric {name!r}: pass one of {', '.join(names)}")
    return _FOLDER / name


def metric_descriptions() -> dict[str, str]:
    """One line about each module, from its docstring.

    Examples
    --------
    >>> metric_descriptions()["membership_inference"]
    'How well scores tell training examples from others: AUC and TPR at low FPR with confidence intervals.'
    """
    return {name: title_and_summary(_FOLDER / name)[1] for name in metric_names()}


def load_metric(name: str) -> evaluate.EvaluationModule:
    """One of the package's `evaluate` modules, from its local folder; the network is not used.

    `evaluate` copies the module's file into its own cache and runs the copy, as it does for any other module.

    Parameters
    ----------
    name : str
        One of `metric_names`.

    Returns
    -------
    evaluate.EvaluationModule

    Raises
    ------
    InputError
        If there is no metric of that name: the message lists those there are.

    Examples
    --------
    >>> metric = load_metric("membership_inference")
    >>> metric.compute(predictions=[0.9, 0.4, 0.1], references=[1, 0, 0], fprs=[0.5])["auc"]
    1.0
    """
    folder = metric_folder(name)
    import evaluate  # only here: it takes transformers and torch along, several seconds

    # In memory: membership and scores of single examples have no business in a cache folder.
    return evaluate.load(str(folder), keep_in_memory=True)
