"""Input curvature as signals of the table: one finite number an example, on the scale that attacks compare on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from hf_privacy.signals.curvature import Curvature

# The curvature of a saturated model underflows to exactly 0; all below this count as equally flat.
SMALLEST_CURVATURE = 1e-70


def curvature_signals(
    model: torch.nn.Module, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor, *, curvature: Curvature
) -> dict[str, np.ndarray]:
    """The curvature of a batch's losses in their inputs.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode.
    inputs : mapping of str to tensor
        What the model is called with, without labels, on its device.
    labels : int tensor of shape [B], on its device
    curvature : Curvature
        Method, number of vectors and seed. The same vectors serve every batch, so a value depends on neither
        batch-mates nor order.

    Returns
    -------
    dict of str to float64[B]
        "curvature": ln of the squared norm, the estimate of tr(H²), or of the zero-order estimate; no lower than
        ln 1e-70 ≈ −161, where the curvature of a saturated model is 0 to a computer. "curvature_trace": the estimate
        of tr(H), not with the zero-order method.

    Raises
    ------
    InputError
        As `hf_privacy.signals.input_curvature`.

    References
    ----------
    Ravikumar et al., "Unveiling privacy, memorization, and input curvature links", ICML 2024 (arXiv 2402.18726); the
    logarithm as a membership signal: Ravikumar et al., "Curvature clues", 2024 (arXiv 2407.02747).
    """
    found = curvature(model, inputs, labels)
    return log_curvature({name: values.double().cpu().numpy() for name, values in found.items()})


def log_curvature(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The signals of `curvature_signals`, from what `hf_privacy.signals.compute_curvature` gives.

    Examples
    --------
    >>> log_curvature({"trace": np.array([2.0]), "squared_norm": np.array([1.0]), "norm": np.array([1.0])})
    {'curvature': array([0.]), 'curvature_trace': array([2.])}
    """
    values = found["zero_order"] if "zero_order" in found else found["squared_norm"]
    signals = {"curvature": np.log(np.maximum(values, SMALLEST_CURVATURE))}
    return signals if "zero_order" in found else signals | {"curvature_trace": found["trace"]}
