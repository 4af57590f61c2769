"""Every proxy of memorization that one watched training run gives, all turned the same way."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import finite_array
from hf_privacy.errors import InputError
from hf_privacy.memorization import proxies

# The curvature of a saturated model is 0 to a computer; all below this count as equally flat.
SMALLEST_CURVATURE = 1e-30
_STREAMS = (("loss", "probability", "correct", "el2n"), ("curvature_squared_norm", "curvature_norm"))
_OF_TOKENS = ("loss", "probability", "token_accuracy")


def dynamics_proxies(dynamics: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """The proxies of `hf_privacy.memorization.proxies`, high where an example is likelier memorized.

    Parameters
    ----------
    dynamics : mapping of str to array
        What `hf_privacy.defenses.read_training_dynamics` gives of a run with `TrainingDynamicsCallback`,
        `CurvatureCallback` (by Hessian-vector products or finite differences) or both. Other entries are left out.

    Returns
    -------
    dict of str to float64[N]
        Of the signals ``final_loss``, ``mean_loss``, ``unconfidence`` (1 − mean probability of the label),
        ``variability`` (from two epochs on), ``forgetting`` (see `forgetting_scores`) and ``mean_el2n``; of a causal
        language model all but the last two, with the geometric mean of a row's tokens as its probability. Of the
        curvature ``final_curvature`` and ``mean_curvature`` (‖Hv‖², the paper's estimate up to h²),
        ``final_curvature_norm`` and ``mean_curvature_norm`` (‖Hv‖, what its authors' code takes, up to h), and
        ``final_log_curvature`` and ``mean_log_curvature``: logarithms of the first two, no lower than ln 1e-30.

    Raises
    ------
    InputError
        If neither callback's arrays are complete, or a value is out of range, as in the single proxies.

    Examples
    --------
    >>> found = dynamics_proxies({"curvature_squared_norm": [[1.0, 0.0], [3.0, 0.0]],
    ...                           "curvature_norm": [[1.0, 0.0], [1.5, 0.0]]})
    >>> found["mean_curvature"], found["final_curvature_norm"], found["mean_log_curvature"].round(2)
    (array([2., 0.]), array([1.5, 0. ]), array([  0.69, -69.08]))
    """
    classes, curvature, tokens = (all(name in dynamics for name in names) for names in (*_STREAMS, _OF_TOKENS))
    if not classes and not curvature and not tokens:
        raise InputError(
            f"dynamics hold {', '.join(sorted(dynamics)) or 'nothing'}: pass {', '.join(_STREAMS[0])}, or "
            f"{' and '.join(_STREAMS[1])}, or all"
        )
    found: dict[str, NDArray[np.float64]] = {}
    if classes or tokens:
        losses = finite_array("loss", dynamics["loss"])
        found |= {
            "mean_loss": proxies.mean_loss(losses),
            "final_loss": losses[-1],
            "unconfidence": 1.0 - proxies.confidence(dynamics["probability"]),
        }
        if classes:
            found["forgetting"] = proxies.forgetting_scores(dynamics["correct"])
            found["mean_el2n"] = proxies.mean_el2n(dynamics["el2n"])
        if len(losses) > 1:
            found["variability"] = proxies.variability(dynamics["probability"])
    if curvature:
        for name, values in (("curvature", "curvature_squared_norm"), ("curvature_norm", "curvature_norm")):
            found[f"mean_{name}"] = proxies.mean_curvature(dynamics[values])
            found[f"final_{name}"] = finite_array(values, dynamics[values])[-1]
        for when in ("mean", "final"):
            found[f"{when}_log_curvature"] = np.log(np.maximum(found[f"{when}_curvature"], SMALLEST_CURVATURE))
    return found
