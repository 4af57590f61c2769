"""One YAML file describes one run: the model, the data and its split, the training, the audit and the push."""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from hf_privacy.arguments import unknown_key
from hf_privacy.atomic_file import write_atomically
from hf_privacy.defenses import DEFENSES
from hf_privacy.errors import InputError, one_line
from hf_privacy.recipe.audit_settings import AuditSettings
from hf_privacy.recipe.canary_settings import CanarySettings
from hf_privacy.recipe.sections import DataSection, ModelSection, PushSection
from hf_privacy.recipe.unlearning_section import UnlearningSection
from hf_privacy.tasks import TASKS, task_named
from hf_privacy.yaml_text import load_yaml


@dataclass
class TrainingDynamics:
    """What is kept, in the run's private folder, of how each member is learnt.

    Parameters
    ----------
    every_n_epochs : int
        How often.
    curvature : int
        Above 0: also each member's input curvature, by so many random vectors.
    """

    every_n_epochs: int = field(default=1, metadata={"at_least": 1})
    curvature: int = field(default=0, metadata={"at_least": 0})


@dataclass
class Recipe:
    """One run, whole: what `hf-privacy train`, `audit`, `report` and `push` read.

    Parameters
    ----------
    task : str
        What an example is.
    name : str, optional
        What report and card call the run; by default the folder's name.
    output_dir : str
        The folder that the run is kept in.
    defense : str
        The defence that training has, or one of your own as ``module:Name``.
    model : ModelSection
        Which model is trained.
    data : DataSection
        Which rows are used, and which of them the model is trained on.
    training : dict
        Fields of `PrivacyConfig`, which are those of `TrainingArguments` and more, and of the defence's own config.
    critical_weight_rewind : dict, optional
        Arguments of `CriticalWeightRewindCallback`, which then goes with any defence.
    training_dynamics : dict, optional
        Keeps how each member is learnt, in the run's private folder (`TrainingDynamics`).
    unlearning : UnlearningSection
        What the trained model is to forget, and how.
    audit : AuditSettings
        How leakage is measured.
    push : PushSection
        Where the model goes, and the budget it must keep.

    Examples
    --------
    >>> recipe = Recipe.from_dict({"task": "image-classification", "model": {"name_or_path": "timm/resnet18"}})
    >>> recipe.override({"audit.references": "8"}).audit.references
    8
    >>> Recipe.from_dict({"modle": {}})
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: unknown key 'modle' in the recipe: did you mean 'model'?
    """

    task: str = field(default="image-classification", metadata={"choices": tuple(TASKS)})
    name: str | None = None
    output_dir: str = "runs/model"
    defense: str = field(default="none", metadata={"choices": tuple(DEFENSES), "outside": True})
    model: ModelSection = field(default_factory=ModelSection)
    data: DataSection = field(default_factory=DataSection)
    training: dict = field(default_factory=dict, metadata={"keys": "hf_privacy.defenses.base.config:PrivacyConfig"})
    critical_weight_rewind: dict | None = field(
        default=None, metadata={"keys": "hf_privacy.defenses.critical_weights.settings:CriticalWeightSettings"}
    )
    training_dynamics: dict | None = field(
        default=None, metadata={"keys": "hf_privacy.recipe.config:TrainingDynamics"}
    )
    unlearning: UnlearningSection = field(default_factory=UnlearningSection)
    audit: AuditSettings = field(default_factory=AuditSettings)
    push: PushSection = field(default_factory=PushSection)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Build and check a recipe; an unknown key or a value of the wrong kind is an `InputError`."""
        if isinstance(values, Mapping) and isinstance(values.get("audit"), Mapping):
            values = {**values, "audit": CanarySettings.moved(values["audit"])}
        if isinstance(values, Mapping) and values.get("task") in TASKS:
            defaults, data = TASKS[values["task"]].data_defaults, values.get("data")
            if defaults and (data is None or isinstance(data, Mapping)):
                values = {**values, "data": {**defaults, **(data or {})}}
        recipe = _build(cls, values, "the recipe")
        recipe.check()
        return recipe

    @classmethod
    def load(cls, path: str | Path) -> Recipe:
        """Read a YAML file."""
        return cls.from_dict(read_yaml(path))

    def override(self, overrides: Mapping[str, Any]) -> Recipe:
        """A new recipe with dotted keys replaced: ``{"training.learning_rate": "1e-3"}``; strings are read as YAML."""
        values = asdict(self)
        for key, value in overrides.items():
            is_number = key == "audit.canaries" and not isinstance(value, Mapping)  # what else the section says stays
            set_dotted(values, "audit.canaries.n" if is_number else key, value)
        return Recipe.from_dict(values)

    def save(self, path: str | Path) -> None:
        """Write the resolved recipe as YAML, whole or not at all: workers read it."""
        write_atomically(Path(path), yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True).encode())

    def check(self) -> None:
        """Refuse what can be seen to be wrong without touching data or model."""
        task = task_named(self.task)
        if not self.output_dir:
            raise InputError("output_dir is empty: name the folder that the run is kept in")
        self.model.check()
        self.data.check(task)
        self.unlearning.check()
        self.audit.check()
        self.audit.check_task(self.task)
        if self.push != PushSection():
            self.push.check()
        _check_training_dynamics(self.training_dynamics)
        for key, value in self.training.items():
            if str(key).endswith("token") and value is not None:
                raise InputError(f"training.{key} is set: a recipe is no place for tokens; log in or set HF_TOKEN")


def check_keys(values: Mapping[str, Any]) -> None:
    """Refuse unknown keys and values of the wrong kind in a part of a recipe, whatever else it will say.

    Raises
    ------
    InputError
    """
    _build(Recipe, values, "the recipe")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML mapping from a file; one clear sentence when it is missing or no mapping."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"config {str(path)!r} is no file: pass a YAML recipe, such as those in recipes/")
    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"config {path.name} is no valid YAML: {one_line(error, longest=None)}") from error
    if not isinstance(values, dict):
        raise InputError(f"config {path.name} holds {type(values).__name__}: a recipe is a mapping of sections")
    return values


def set_dotted(values: dict[str, Any], key: str, value: Any) -> None:
    """Set ``a.b.c`` in nested dicts; the leaf is read as YAML when it is a string."""
    *parents, leaf = key.split(".")
    for parent in parents:
        if values.get(parent) is None:
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise InputError(f"{key} is set, but {parent} is no section")
    try:
        values[leaf] = load_yaml(value) if isinstance(value, str) else value
    except yaml.YAMLError as error:
        raise InputError(f"{key} is {reprlib.repr(value)}, which is no valid YAML: put it in quotes") from error


def number_or_same(value: Any) -> Any:
    """YAML reads 1e-3 as text; a number is meant, inside lists and mappings too."""
    if isinstance(value, dict):
        return {number_or_same(key): number_or_same(item) for key, item in value.items()}
    if isinstance(value, list):
        return [number_or_same(item) for item in value]
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _build(cls: Any, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise InputError(f"{where} holds {values!r}: pass a mapping of {', '.join(f.name for f in fields(cls))}")
    types = get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    verbatim = {f.name for f in fields(cls) if f.metadata.get("verbatim")}
    arguments = {}
    for key, value in values.items():
        if key not in known:
            raise unknown_key(str(key), known, where)
        if is_dataclass(types[key]):
            arguments[key] = _build(types[key], value if value is not None else {}, f"section {key!r}")
        else:
            place = key if where == "the recipe" else f"{where} key {key!r}"
            arguments[key] = checked(value, types[key], place, read_numbers=key not in verbatim)
    for f in fields(cls):
        if f.name not in arguments and f.default is MISSING and f.default_factory is MISSING:
            raise InputError(f"{where} lacks {f.name!r}")
    return cls(**arguments)


def checked(value: Any, kind: Any, where: str, *, read_numbers: bool = True) -> Any:
    """``value`` if it is of one of the types in ``kind``, with numbers read as such; `InputError` otherwise."""
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    kinds = tuple(get_origin(part) or part for part in parts)
    if Any in kinds or Literal in kinds:
        return value
    # Where text is meant, 12e4567 is a revision.
    if read_numbers and str not in kinds:
        value = number_or_same(value)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # In YAML, yes/no are booleans and booleans are integers to Python: neither is a count.
    if (isinstance(value, bool) and bool not in kinds) or not isinstance(value, kinds):
        names = " or ".join("nothing" if k is type(None) else k.__name__ for k in kinds)
        raise InputError(f"{where} is {value!r}: pass {names}")
    if isinstance(value, str) and read_numbers and _is_no_text(value):
        raise InputError(f"{where} is {value!r}: pass one line of text, or leave it out")
    return value


def _is_no_text(value: str) -> bool:
    """Blank, or with characters that no name and no path has; empty text stands for nothing."""
    return bool(value) and (not value.strip() or any(unicodedata.category(letter) == "Cc" for letter in value))


def _check_training_dynamics(section: dict | None) -> None:
    smallest = {known.name: known.metadata["at_least"] for known in fields(TrainingDynamics)}
    for key, value in (section or {}).items():
        if key not in smallest:
            raise unknown_key(str(key), list(smallest), "section 'training_dynamics'")
        if checked(value, int, f"section 'training_dynamics' key {key!r}") < smallest[key]:
            raise InputError(f"training_dynamics.{key} is {value}: pass a whole number from {smallest[key]} up")
