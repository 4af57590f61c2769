"""The sections ``model``, ``data`` and ``push`` of a recipe: their keys, what each means, and what can be wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from hf_privacy.arguments import check_seed
from hf_privacy.errors import InputError
from hf_privacy.gate_fields import GateFields
from hf_privacy.tasks import TASKS, Task

if TYPE_CHECKING:
    from datasets import Dataset

_LARGEST_SIZE = 100_000_000
DTYPES = ("float32", "bfloat16")
QUANTIZATIONS = ("nf4",)
REPEATS = ("report", "drop")
AUGMENTATIONS = tuple({name: None for task in TASKS.values() for name in task.augmentations})


@dataclass
class ModelSection:
    """Which model is trained.

    Parameters
    ----------
    name_or_path : str
        A Hub id, a local folder, ``timm/<name>`` or, from scratch, an architecture (see `hf_privacy.models`).
    revision : str, optional
        Branch, tag or commit on the Hub.
    from_scratch : bool
        Build the architecture untrained instead of loading weights.
    kwargs : dict
        Arguments of a timm model, or fields of a transformers configuration.
    lora : dict, optional
        Train a LoRA adapter on the frozen model: fields of ``peft.LoraConfig``, such as ``{r: 8, lora_alpha: 16}``.
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
    dtype: str = field(default="float32", metadata={"choices": DTYPES, "for": "language"})
    quantization: str | None = field(default=None, metadata={"choices": QUANTIZATIONS, "for": "language"})
    gguf_file: str | None = field(default=None, metadata={"for": "language"})

    def check(self) -> None:
        """Raise `InputError` for what can be seen to be wrong without the model."""
        _check_sizes("model.kwargs", self.kwargs)
        _check_sizes("model.lora", self.lora)
        _one_of("model.dtype", self.dtype, DTYPES)
        _one_of("model.quantization", self.quantization, (None, *QUANTIZATIONS))
        if self.quantization is not None and self.lora is None:
            raise InputError(
                f"model.quantization is {self.quantization!r} without model.lora: weights in four bits are not trained"
            )


@dataclass
class DataSection:
    """Which rows are used, and which of them the model is trained on.

    Rows for a causal language model are texts (``input_column``), prompts and completions (``prompt_column``,
    ``completion_column``) or conversations (``messages_column``); where none is named, the columns text, prompt and
    completion, or messages. They have no classes: nothing is stratified, and no label is read.

    Parameters
    ----------
    name_or_path : str
        "digits" (embedded), a Hub id, or a local file or folder.
    dataset_id : str, optional
        The Hub id to name in report and card when ``name_or_path`` is a local copy.
    config_name : str, optional
        Configuration of a Hub dataset.
    revision : str, optional
        Branch, tag or commit on the Hub.
    dataset_split : str, optional
        Which split is read, such as "train" or "train[:1000]"; null takes "train", or the only one.
    input_column : str or list, optional
        The column that the model reads: one; for texts also two (sentence pairs), for tables also several of numbers.
    prompt_column, completion_column : str, optional
        Columns of prompts and of what follows them, the part of a row that is scored; set both.
    messages_column : str, optional
        Column of conversations: lists of messages with role and content.
    paraphrase_column : str, optional
        For a text or a completion, another that says the same; nothing where there is none (`SOFTTrainer`).
    label_column : str
        The column of the classes: whole numbers or texts.
    label_names : list or dict, optional
        Names the classes or gives them their order (see `hf_privacy.data.number_classes`).
    group_column : str, optional
        Whose row it is (author, user, document): whole groups are drawn, ``member_fraction`` is one of the groups,
        ``max_examples`` takes whole ones, and the audit's intervals and tests are by group.
    max_examples : int, optional
        A stratified random subset of so many rows is taken before the split.
    member_fraction : float
        Share of the rows outside the population that the model is trained on; the rest are the audit's non-members.
    population_fraction : float
        Share set aside first, for attacks and defences that need rows of neither side.
    stratify : bool
        Spread the classes evenly over the parts.
    split_seed : int
        Seed of the draw of subset, population and members.
    split_file : str, optional
        A saved `hf_privacy.data.MembershipSplit`, in place of a draw.
    member_column : str, optional
        A column of true and false that says which rows are members, in place of a draw.
    member_seed : int, optional
        Draws the members anew among the split's members and non-members; the population, and with it the pool, stays.
    repeats : {"report", "drop"}
        What to do about exact repeats: report them, or drop all but the first. Images are decoded twice for dropping,
        in the first run: to find repeats, then to encode what is left.
    near_repeats : bool
        Look for near-exact repeats too.
    label_noise : float
        Turns that share of the labels, of all rows before the split, to a wrong class at random: for experiments on
        memorization. Which rows those are is never written.
    label_noise_seed : int
        Seed of which labels are turned, and to what.
    image_size : int, optional
        Height and width that images are brought to; by default the model's, or their own for one from scratch.
    augmentation : {"flip", "flip_crop"}, optional
        What is done to training images at random.
    max_length : int
        Texts are cut at so many tokens (128; of a causal language model 1024), or at what model and tokenizer take
        where that is less.
    """

    name_or_path: str = "digits"
    dataset_id: str | None = None
    config_name: str | None = None
    revision: str | None = None
    dataset_split: str | None = "train"
    input_column: str | list | None = "image"
    prompt_column: str | None = field(default=None, metadata={"for": "language"})
    completion_column: str | None = field(default=None, metadata={"for": "language"})
    messages_column: str | None = field(default=None, metadata={"for": "language"})
    paraphrase_column: str | None = field(default=None, metadata={"for": "language"})
    label_column: str = field(default="label", metadata={"for": "classes"})
    label_names: list | dict | None = field(default=None, metadata={"for": "classes"})
    group_column: str | None = None
    max_examples: int | None = None
    member_fraction: float = 0.5
    population_fraction: float = 0.0
    stratify: bool = field(default=True, metadata={"for": "classes"})
    split_seed: int = 0
    split_file: str | None = None
    member_column: str | None = None
    member_seed: int | None = None
    repeats: str = field(default="report", metadata={"choices": REPEATS})
    near_repeats: bool = True
    label_noise: float = field(default=0.0, metadata={"for": "classes"})
    label_noise_seed: int = field(default=0, metadata={"for": "classes"})
    image_size: int | None = field(default=None, metadata={"for": "images"})
    augmentation: str | None = field(default=None, metadata={"choices": AUGMENTATIONS, "for": "images"})
    max_length: int = field(default=128, metadata={"for": "texts"})

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
        _one_of("data.repeats", self.repeats, REPEATS)
        _one_of("data.augmentation", self.augmentation, (None, *AUGMENTATIONS))
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
    """Where the model goes, the budget it must keep and the audit that must show it (`hf_privacy.hub.check_gate`).

    The budget, and what the audit must show, are the fields of `GateFields`.

    Parameters
    ----------
    repo_id : str, optional
        The repository on the Hub, owner/name.
    private : bool
        Create the repository private.
    create_pr : bool
        Push as a pull request instead of to the branch.
    revision : str, optional
        The branch that is pushed to; by default main.
    license : str, optional
        What the card names, such as apache-2.0.
    level_times : list of float, optional
        Where the verdict's levels moderate, high and very high begin, by how many times as many training records are
        found as others are claimed by mistake; by default [2, 5, 20].
    level_aucs : list of float, optional
        The same by the largest AUC shown; by default [0.55, 0.65, 0.8]. The worse of both counts.
    """

    repo_id: str | None = None
    private: bool = True
    create_pr: bool = False
    revision: str | None = None
    license: str | None = None
    level_times: list | None = None
    level_aucs: list | None = None
    max_tpr_at_fpr: dict | None = field(
        default=None,
        metadata={"help": "Refuse a push above these true positive rates, by false positive rate: {0.01: 0.1}."},
    )

    def levels(self) -> dict[str, list[float]] | None:
        """Where the verdict's levels begin, as a report holds it; None where the recipe sets nothing.

        Examples
        --------
        >>> PushSection(level_aucs=[0.52, 0.6, 0.7]).levels()
        {'aucs': [0.52, 0.6, 0.7]}
        """
        from hf_privacy.hub.levels import levels_record

        return levels_record(self.level_times, self.level_aucs)

    def check(self) -> None:
        """Raise `InputError` for what a push would refuse whatever the model turns out to be."""
        from hf_privacy.hub.gate import GateSettings  # only here: it takes the schema's reader along

        for rate in (rate for pair in (self.max_tpr_at_fpr or {}).items() for rate in pair):
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
                raise InputError(
                    f"push.max_tpr_at_fpr is {self.max_tpr_at_fpr!r}: pass the highest TPR for each FPR, all in [0, 1]"
                )
        try:
            self.levels()
            GateSettings(**self.gate_settings())
        except InputError as error:
            raise InputError(f"push.{error}") from None
        if self.repo_id is not None:
            from huggingface_hub.utils import HFValidationError, validate_repo_id

            try:
                validate_repo_id(self.repo_id)
            except HFValidationError as error:
                raise InputError(f"push.repo_id is {self.repo_id!r}: pass owner/name, such as me/my-model") from error


def _check_sizes(name: str, values: Any) -> None:
    """Refuse numbers that no architecture is made of, and with which building one would not end."""
    if isinstance(values, (dict, list)):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            _check_sizes(f"{name}.{key}", value)
    elif isinstance(values, int) and abs(values) > _LARGEST_SIZE:
        raise InputError(f"{name} is {values}: pass a whole number of at most {_LARGEST_SIZE:,}")
    elif isinstance(values, float) and not math.isfinite(values):
        raise InputError(f"{name} is {values}: pass a finite number")


def _one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        raise InputError(f"{name} is {value!r}: pass one of {', '.join(str(a) for a in allowed)}")
