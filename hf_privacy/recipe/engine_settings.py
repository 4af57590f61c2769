"""Where an audit's reference models are trained: the ``engine`` section of its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from hf_privacy.arguments import check_choice, check_number, check_whole, seen, unknown_key
from hf_privacy.errors import InputError

ENGINES = ("local", "ray")
MOST_RETRIES = 1000


@dataclass(frozen=True)
class EngineSettings:
    """Settings of the engine that trains reference models; none of them changes a figure.

    Parameters
    ----------
    name : "local" or "ray"
        In processes of this machine, or as tasks of a Ray cluster (extra ``ray``).
    address : str, optional
        Of the Ray cluster; by default the one that RAY_ADDRESS names or that runs here, else one of this machine.
    gpus : float, optional
        What a reference needs of a GPU, such as 0.25 for four at once on each; by default 1 where the cluster has
        GPUs, else 0.
    cpus : float
        Cores that a reference needs.
    retries : int
        How often a reference is tried again whose process or machine was lost.

    Examples
    --------
    >>> EngineSettings.of("ray")
    EngineSettings(name='ray', address=None, gpus=None, cpus=1, retries=3)
    >>> EngineSettings(name="dask").check()
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: engine.name is 'dask': pass 'local' or 'ray'
    """

    name: str = field(default="local", metadata={"choices": ENGINES})
    address: str | None = None
    gpus: float | None = None
    cpus: float = 1
    retries: int = 3

    @classmethod
    def of(cls, value: Any) -> EngineSettings:
        """Of a mapping of them, or of a name alone."""
        if isinstance(value, cls):
            return value
        if value is None:
            return cls()
        if not isinstance(value, Mapping):
            return cls(name=value)
        known = [field.name for field in fields(cls)]
        for key in value:
            if key not in known:
                raise unknown_key(str(key), known, "engine")
        return cls(**value)

    def check(self) -> None:
        """Raise `InputError` for settings that no engine can run with."""
        check_choice("engine.name", self.name, ENGINES)
        if self.gpus is not None:
            gpus = check_number("engine.gpus", self.gpus, 0.0, 1024.0)
            if gpus > 1 and gpus != int(gpus):
                raise InputError(f"engine.gpus is {gpus}: pass a share of one GPU, such as 0.25, or a whole number")
        check_number("engine.cpus", self.cpus, 0.0, 1024.0)
        check_whole("engine.retries", self.retries, at_least=0, at_most=MOST_RETRIES)
        if self.address is not None and not isinstance(self.address, str):
            raise InputError(f"engine.address is {seen(self.address)}: pass the address of a Ray cluster as text")
