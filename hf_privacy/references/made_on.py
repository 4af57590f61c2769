"""On what a reference model was trained: kept with its signals, and said where not all were trained on the same."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Whose releases may round differently; that their minor versions are equal is the store's own condition.
_PACKAGES = ("numpy", "torch", "transformers")
_NAMES = {"device": "devices", "dtype": "dtypes"}


def made_on(model: torch.nn.Module) -> dict[str, Any]:
    """Kind of device, dtype of the weights and full versions; no name of a machine."""
    import torch

    weight = next(model.parameters())
    kind = f"cpu ({platform.machine()})"
    if weight.device.type == "cuda":
        kind = torch.cuda.get_device_name(weight.device)
    elif weight.device.type != "cpu":
        kind = weight.device.type
    return {
        "device": kind,
        "dtype": str(weight.dtype).removeprefix("torch."),
        "versions": {name: version(name) for name in _PACKAGES},
    }


def mixed_sentence(machines: Sequence[Mapping[str, Any] | None]) -> str | None:
    """What a reader must know of reference models that were made on several kinds of machine; None where they are one.

    Parameters
    ----------
    machines : sequence of mapping or None
        What `made_on` gave for each; None, as of a store of an earlier version, says nothing.

    Examples
    --------
    >>> card = {"device": "NVIDIA H100", "dtype": "bfloat16", "versions": {"torch": "2.9.0"}}
    >>> mixed_sentence([card, card, None]) is None
    True
    >>> mixed_sentence([card, {**card, "device": "NVIDIA A100"}])
    'The reference models were trained on different devices (NVIDIA A100; NVIDIA H100): part of what sets them apart
    may be rounding.'
    """
    said = []
    known = [machine for machine in machines if machine]
    for key, plural in _NAMES.items():
        found = sorted({str(machine.get(key)) for machine in known})
        if len(found) > 1:
            said.append(f"{plural} ({'; '.join(found)})")
    for name in _PACKAGES:
        found = sorted({str(machine.get("versions", {}).get(name)) for machine in known} - {"None"})
        if len(found) > 1:
            said.append(f"releases of {name} ({'; '.join(found)})")
    if not said:
        return None
    return (
        f"The reference models were trained on different {' and '.join(said)}: part of what sets them apart may be "
        "rounding."
    )
