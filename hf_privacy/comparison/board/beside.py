"""What a result does not say of itself: its data and its model, from the YAML beside it that it was made by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hf_privacy.errors import InputError
from hf_privacy.recipe.config import read_yaml
from hf_privacy.reports.leaks import public_name


@dataclass(frozen=True)
class Beside:
    """The recipe or study that made a result.

    Attributes
    ----------
    data, model : str
        As they may be published: a Hub id, or the last part of a path.
    seeds : list of int
    requests : dict
        Of an unlearning study: each request by its name.
    """

    data: str
    model: str
    seeds: list[int] = field(default_factory=list)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)


def beside(path: Path) -> Beside:
    """Read the YAML beside a result that bears its name without "_result", or the first words of it.

    Where it names a base recipe, data and model are the base's.

    Raises
    ------
    InputError
        If there is none, or it names no data or no model.
    """
    for file in _candidates(path):
        if file.is_file():
            values = read_yaml(file)
            based = isinstance(values.get("recipe"), str)
            base = read_yaml(file.parent / values["recipe"]) if based else values
            return Beside(
                _named(base, "data", "dataset_id", file),
                _named(base, "model", "base_model_id", file),
                values.get("seeds") or [],
                values.get("requests") or {},
            )
    raise InputError(
        f"it does not name its model: put the YAML that it was made by beside it, as {next(_candidates(path)).name}"
    )


def _candidates(path: Path) -> Iterator[Path]:
    words = path.stem.removesuffix("_result").split("_")
    for count in range(len(words), 0, -1):
        yield path.parent / f"{'_'.join(words[:count])}.yaml"


def _named(values: dict[str, Any], section: str, published: str, file: Path) -> str:
    found = values.get(section) or {}
    name = found if isinstance(found, str) else found.get(published) or found.get("name_or_path")
    if not name:
        raise InputError(f"{file.name} beside it names no {section}")
    return public_name(str(name), pinned=True)
