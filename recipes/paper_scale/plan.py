"""What stages.yaml says, each stage with the recipe that it is made of."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hf_privacy.recipe.config import set_dotted

HERE = Path(__file__).parent
_FILE: dict[str, Any] = yaml.safe_load((HERE / "stages.yaml").read_text(encoding="utf-8"))
STAGES: tuple[str, ...] = tuple(_FILE["stages"])
# Where each kind of recipe keeps the section ``data``.
_DATA = {"comparison": "overrides.data", "unlearning": "overrides.data", "audit": "data"}


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes
    ----------
    name, kind, claim : str
        The kind is "commands", "comparison", "unlearning" or "audit".
    config : dict
        The recipe, with everything set.
    rows : list of str
        Of the recipe's table, those that this stage makes.
    trainings : int, optional
        How many models it trains; of a comparison, its own recipe says it.
    commands : list of list of str
        Arguments of this Python.
    prepare : list of str
        Arguments of this Python before all else; its script lies beside this file.
    """

    name: str
    kind: str
    claim: str
    config: dict[str, Any]
    rows: list[str]
    trainings: int | None
    commands: list[list[str]]
    prepare: list[str]

    def resolved(self, folder: Path) -> dict[str, Any]:
        """As plain values, with ``folder`` for its models."""
        whole = {**vars(self), "config": {**self.config, "output_dir": str(folder / "models")}}
        return _filled(whole, work=str(folder))


def stage_of(name: str, *, rehearse: bool, data: str | None) -> Stage:
    """A stage at its full size, or a hundredth of it; a file below ``data`` takes the place of the Hub's rows."""
    stage = _FILE["stages"][name]
    kind, config = stage["kind"], {}
    small = dict(stage["rehearsal"]) if rehearse else {}
    rows = small.pop("rows", stage.get("rows", []))
    if "config" in stage:
        path = HERE / stage["config"]
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(config.get("recipe"), str):
            config["recipe"] = str((path.parent / config["recipe"]).resolve())
        offline = stage.get("offline", {}) if data is not None else {}
        for changes in (stage.get("set", {}), offline.get("set", {}), small):
            _apply(config, changes)
        if data is not None and "prepare" not in stage:
            place = {"name_or_path": str((Path(data) / stage["local"]).resolve()), "dataset_split": None}
            _apply(config, {f"{_DATA[kind]}.{key}": value for key, value in place.items()})
    for section in ("defenses", "methods"):
        if section in config:
            config[section] = {row: config[section][row] for row in rows}
    if rehearse and kind == "unlearning":
        _shorten_searches(config)
    prepare = [str((HERE / word).resolve()) if word.endswith(".py") else word for word in stage.get("prepare", [])]
    made = Stage(
        name, kind, stage.get("claim", ""), config, rows, stage.get("trainings"), stage.get("commands", []), prepare
    )
    # What a stage asks for beside its rows is local too; a rehearsal without either takes what the Hub has.
    places = {"rows": stage.get("hub", "")}
    if data is not None and "local" in stage:
        places["rows"] = str((Path(data) / stage["local"]).resolve())
        places["beside"] = str((Path(data) / stage.get("offline", {}).get("beside", "")).resolve())
    return Stage(**_filled(vars(made), **places))


def _filled(value: Any, **places: str) -> Any:
    """The value with ``{name}`` in its texts filled in."""
    if isinstance(value, dict):
        return {key: _filled(item, **places) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, **places) for item in value]
    if isinstance(value, str):
        for name, place in places.items():
            value = value.replace(f"{{{name}}}", place)
    return value


def local_files() -> list[str]:
    """The files of rows, and the folders beside them, that stages take from a local folder."""
    stages = _FILE["stages"].values()
    beside = {stage["offline"]["beside"] for stage in stages if "offline" in stage}
    return sorted({stage["local"] for stage in stages if "local" in stage} | beside)


def _apply(config: dict[str, Any], changes: dict[str, Any]) -> None:
    """Set dotted keys; a key that names a group of shared changes stands for them."""
    for key, value in changes.items():
        if key in _FILE["shared"]:
            _apply(config, _FILE["shared"][key])
        elif key.startswith("overrides.") and any("." in name for name in config.get("overrides", {})):
            config["overrides"][key.removeprefix("overrides.")] = copy.deepcopy(value)  # they are dotted there
        else:
            set_dotted(config, key, copy.deepcopy(value))


def _shorten_searches(config: dict[str, Any]) -> None:
    """One setting of each method's search, for one epoch where it has epochs."""
    for method in config["methods"].values():
        grid = method.get("search", {})
        grid = grid[0] if isinstance(grid, list) else grid
        method["search"] = {key: values[:1] for key, values in grid.items()}
        if "num_train_epochs" in method["search"]:
            method["search"]["num_train_epochs"] = [1]
