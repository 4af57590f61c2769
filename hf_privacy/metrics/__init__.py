"""`evaluate` modules, one folder each: thin doors to `hf_privacy.attacks` and `hf_privacy.statistics`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hf_privacy.errors import InputError
from hf_privacy.metrics.values import flatten_summary, zero_one

if TYPE_CHECKING:
    import evaluate

__all__ = ["flatten_summary", "load_metric", "metric_names", "zero_one"]

_FOLDER = Path(__file__).parent


def metric_names() -> list[str]:
    """Names of the `evaluate` modules that ship with the package.

    Examples
    --------
    >>> metric_names()
    ['lira', 'membership_inference', 'rmia']
    """
    return sorted(folder.name for folder in _FOLDER.iterdir() if (folder / f"{folder.name}.py").is_file())


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
    names = metric_names()
    if name not in names:
        raise InputError(f"there is no metric {name!r}: pass one of {', '.join(names)}")
    import evaluate  # only here: it takes transformers and torch along, several seconds

    # In memory: membership and scores of single examples have no business in a cache folder.
    return evaluate.load(str(_FOLDER / name), keep_in_memory=True)
