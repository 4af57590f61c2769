"""One YAML file describes one run: the model, the data and its split, the training, the audit and the push."""

from __future__ import annotations

import math
import re
import reprlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from hf_privacy.arguments import check_seed, unknown_key
from hf_privacy.atomic_file import write_atomically
from hf_privacy.errors import InputError, one_line
from hf_privacy.gate_fields import GateFields
from hf_privacy.recipe.audit_settings import AuditSettings
from hf_privacy.recipe.canary_settings import CanarySettings
from hf_privacy.recipe.unlearning_section import UnlearningSection
from hf_privacy.tasks import TASKS, Task, task_named
from hf_privacy.yaml_text import load_yaml

if TYPE_CHECKING:
    from datasets import Dataset

_LARGEST_SIZE = 100_000_000


@dataclass
class ModelSection:
    """Which model is trained.

    Parameters
    ----------
    name_or_path : str
        A Hub id, a local folder, ``timm/<name>`` or, from scratch, an architecture (see `hf_privacy.models`).
    base_model_id : str, optional
        The Hub id to name on the card and in the adapter's configuration when ``name_or_path`` is a local copy.
    dtype : {"float32", "bfloat16"}
        In which a language model's weights, or those of an adapter's base, are held and trained.
    quantization : {"nf4"}, optional
        Hold the linear layers of an adapter's base in four bits (QLoRA), on a CUDA GPU.
    gguf_file : str, optional
        The GGUF file that holds a language model's weights and tokenizer.
    """

    name_or_path: str = ""
    revision: str | None = None
    from_scratch: bool = False
    kwargs: dict = field(default_factory=dict)
    lora: dict | None = None
    base_model_id: str | None = None
    dtype: str = "float32"
    quantization: str | None = None
    gguf_file: str | None = None

    def check(self) -> None:
        """Raise `InputError` for what can be seen to be wrong without the model."""
        _check_sizes("model.kwargs", self.kwargs)
        _check_sizes("model.lora", self.lora)
        _one_of("model.dtype", self.dtype, ("float32", "bfloat16"))
        _one_of("model.quantization", self.quantization, (None, "nf4"))
        if self.quantization is not None and self.lora is None:
            raise InputError(
                f"model.quantization is {self.quantization!r} without model.lora: weights in four bits are not trained"
            )


@dataclass
class DataSection:
    """Which rows are used, and which of them the model is trained on.

    ``name_or_path`` is "digits" (embedded), a Hub id, or a local file or folder; ``dataset_id`` is the Hub id to name
    in report and card when it is local. ``max_examples`` takes a stratified random subset before the split.
    ``repeats`` says what to do about exact repeats: "report" them or "drop" all but the first. ``member_seed`` draws
    the members anew among the split's members and non-members; the population, and with it the pool, stays.
    ``input_column`` is one column; for texts also two (sentence pairs), for tables also several of single numbers.
    Rows for a causal language model are texts (``input_column``), prompts and completions (``prompt_column``,
    ``completion_column``) or conversations (``messages_column``); where none is named, the columns text, prompt and
    completion, or messages. They have no classes: nothing is stratified, and no label is read.
    ``paraphrase_column`` holds, for a text or a completion, another that says the same; nothing where there is none
    (`SOFTTrainer`).
    ``member_column`` (true or false) says which rows are members, in place of a draw.
    ``group_column`` says whose row it is (author, user, document): whole groups are drawn, ``member_fraction`` is one
    of the groups, ``max_examples`` takes whole ones, and the audit's intervals and tests are by group.
    ``label_names`` names the classes or gives them their order (see `hf_privacy.data.number_classes`).
    Texts are cut at ``max_length`` tokens (128; of a causal language model 1024), or at what model and tokenizer take
    where that is less.
    ``label_noise`` turns that share of the labels, of all rows before the split, to a wrong class at random
    (``label_noise_seed``): for experiments on memorization. Which rows those are is never written.
    """

    name_or_path: str = "digits"
    dataset_id: str | None = None
    config_name: str | None = None
    revision: str | None = None
    dataset_split: str | None = "train"
    input_column: str | list | None = "image"
    prompt_column: str | None = None
    completion_column: str | None = None
    messages_column: str | None = None
    paraphrase_column: str | None = None
    label_column: str = "label"
    label_names: list | dict | None = None
    group_column: str | None = None
    max_examples: int | None = None
    member_fraction: float = 0.5
    population_fraction: float = 0.0
    stratify: bool = True
    split_seed: int = 0
    split_file: str | None = None
    member_column: str | None = None
    member_seed: int | None = None
    repeats: str = "report"
    near_repeats: bool = True
    label_noise: float = 0.0
    label_noise_seed: int = 0
    image_size: int | None = None
    augmentation: str | None = None
    max_length: int = 128

    @property
    def input_columns(self) -> list[str]:
        """The input column or columns, as a list; empty where they are to be found in the rows."""
        if self.messages_column is not None:
            return [self.messages_column]
        if self.prompt_column is not None and self.completion_column is not None:
            return [self.prompt_column, self.completion_column]
        return [self.input_column] if isinstance(self.input_column, str) else list(self.input_column or ())

    def found_in(self, rows: Dataset) -> DataSection:
        """The section with the columns of a language model's rows named: `hf_privacy.data.language_columns`.

        Raises
        ------
        InputError
            As that function.
        """
        from hf_privacy.data import language_columns

        columns = language_columns(rows, self.input_columns or None)
        if self.input_columns:
            return self
        names = ("prompt_column", "completion_column") if len(columns) == 2 else ("input_column",)
        return replace(self, **dict(zip(names, columns, strict=True)))

    def check(self, task: Task) -> None:
        """Raise `InputError` for what can be seen to be wrong without the rows."""
        _one_of("data.repeats", self.repeats, ("report", "drop"))
        augmentations = {name: None for known in TASKS.values() for name in known.augmentations}
        _one_of("data.augmentation", self.augmentation, (None, *augmentations))
        if self.augmentation not in (None, *task.augmentations):
            raise InputError(
                f"data.augmentation is {self.augmentation!r} and the task is {task.name}: only images are augmented"
            )
        self._check_columns(task)
        for name in ("member_fraction", "population_fraction", "label_noise"):
            value = getattr(self, name)
            if not 0 <= value < 1 or (name == "member_fraction" and value == 0):
                low = "(" if name == "member_fraction" else "["
                raise InputError(f"data.{name} is {value}: pass a share in {low}0, 1)")
        for name in ("split_seed", "label_noise_seed"):
            check_seed(getattr(self, name), name=f"data.{name}")
        if self.member_seed is not None:
            check_seed(self.member_seed, name="data.member_seed")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"data.{name} is {value}: pass at least {least}")

    def _check_columns(self, task: Task) -> None:
        if self.member_column is not None and self.split_file is not None:
            raise InputError("data.member_column and data.split_file are both set: each says who is a member; set one")
        languages = ("prompt_column", "completion_column", "messages_column")
        used = [name for name in languages if getattr(self, name) is not None]
        if task.has_classes:
            if self.paraphrase_column is not None:
                raise InputError(
                    f"data.paraphrase_column is set and the task is {task.name}: only a language model's rows have "
                    "paraphrases"
                )
            if used:
                raise InputError(
                    f"data.{used[0]} is set and the task is {task.name}: name its input with input_column"
                )
            self._check_input_column(task)
            return
        if used and (self.input_column is not None or used not in (list(languages[:2]), [languages[2]])):
            named = ["input_column"] if self.input_column is not None else []
            raise InputError(
                f"data names {' and '.join([*named, *used])}: name input_column (texts), prompt_column and "
                "completion_column, or messages_column"
            )
        if self.input_column is not None:
            self._check_input_column(task)
        for name in ("label_column", "label_names", "stratify", "label_noise"):
            if getattr(self, name) != task.data_defaults.get(name, _DEFAULTS[name]):
                raise InputError(
                    f"data.{name} is set and the task is {task.name}, whose rows have no classes: leave it out"
                )

    def _check_input_column(self, task: Task) -> None:
        columns = self.input_columns
        most = len(columns) if task.most_columns is None else task.most_columns
        named = all(isinstance(column, str) and column for column in columns)
        if not named or not 1 <= len(columns) <= most or len(set(columns)) != len(columns):
            raise InputError(f"data.input_column is {self.input_column!r}: pass one column{task.columns_hint}")


_LEAST = {"max_examples": 2, "image_size": 1, "max_length": 1}
_DEFAULTS = {f.name: f.default for f in fields(DataSection)}


@dataclass
class PushSection(GateFields):
    """Where the model goes, the budget it must keep and the audit that must show it (`hf_privacy.hub.check_gate`)."""

    repo_id: str | None = None
    private: bool = True
    create_pr: bool = False
    revision: str | None = None
    license: str | None = None
    max_tpr_at_fpr: dict | None = None

    def check(self) -> None:
        """Raise `InputError` for what a push would refuse whatever the model turns out to be."""
        from hf_privacy.hub.gate import GateSettings  # only here: it takes the schema's reader along

        for rate in (rate for pair in (self.max_tpr_at_fpr or {}).items() for rate in pair):
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
                raise InputError(
                    f"push.max_tpr_at_fpr is {self.max_tpr_at_fpr!r}: pass the highest TPR for each FPR, all in [0, 1]"
                )
        try:
            GateSettings(**self.gate_settings())
        except InputError as error:
            raise InputError(f"push.{error}") from None
        if self.repo_id is not None:
            from huggingface_hub.utils import HFValidationError, validate_repo_id

            try:
                validate_repo_id(self.repo_id)
            except HFValidationError as error:
                raise InputError(f"push.repo_id is {self.repo_id!r}: pass owner/name, such as me/my-model") from error


@dataclass
class Recipe:
    """One run, whole: what `hf-privacy train`, `audit`, `report` and `push` read.

    ``training`` holds fields of `PrivacyConfig` (or of the defence's own config) and is checked against it;
    ``critical_weight_rewind`` holds arguments of `CriticalWeightRewindCallback`, which then goes with any defence.
    ``training_dynamics`` keeps how each member is learnt, in the run's private folder: every so many epochs
    (``every_n_epochs``, 1 by default) and, with ``curvature`` above 0, its input curvature by so many vectors.
    ``unlearning`` says what the trained model is to forget, and how (`UnlearningSection`).

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

    task: str = "image-classification"
    name: str | None = None
    output_dir: str = "runs/model"
    defense: str = "none"
    model: ModelSection = field(default_factory=ModelSection)
    data: DataSection = field(default_factory=DataSection)
    training: dict = field(default_factory=dict)
    critical_weight_rewind: dict | None = None
    training_dynamics: dict | None = None
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


def _check_sizes(name: str, values: Any) -> None:
    """Refuse numbers that no architecture is made of, and with which building one would not end."""
    if isinstance(values, (dict, list)):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            _check_sizes(f"{name}.{key}", value)
    elif isinstance(values, int) and abs(values) > _LARGEST_SIZE:
        raise InputError(f"{name} is {values}: pass a whole number of at most {_LARGEST_SIZE:,}")
    elif isinstance(values, float) and not math.isfinite(values):
        raise InputError(f"{name} is {values}: pass a finite number")


def _check_training_dynamics(section: dict | None) -> None:
    smallest = {"every_n_epochs": 1, "curvature": 0}
    for key, value in (section or {}).items():
        if key not in smallest:
            raise unknown_key(str(key), list(smallest), "section 'training_dynamics'")
        if checked(value, int, f"section 'training_dynamics' key {key!r}") < smallest[key]:
            raise InputError(f"training_dynamics.{key} is {value}: pass a whole number from {smallest[key]} up")


def _one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}: pass one of {', '.join(str(a) for a in allowed)}")
