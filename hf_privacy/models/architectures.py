"""The configuration of a model, and untrained models built from one."""

from __future__ import annotations

import difflib
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from peft import PeftModel, TaskType
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from hf_privacy.errors import InputError, one_line
from hf_privacy.models.tabular_mlp import TabularMLPConfig


class ModelsOfTask(NamedTuple):
    """How the models of a task are opened; what else a task is stands in `hf_privacy.tasks`."""

    auto_class: type
    configs: Container[type]  # of the architectures that have such a model
    peft_type: TaskType | None = None  # None for what reads no text
    has_classes: bool = True


MODELS_OF = {
    "image-classification": ModelsOfTask(AutoModelForImageClassification, MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING),
    "text-classification": ModelsOfTask(
        AutoModelForSequenceClassification, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, TaskType.SEQ_CLS
    ),
    "tabular-classification": ModelsOfTask(AutoModelForSequenceClassification, (TabularMLPConfig,)),
    "causal-lm": ModelsOfTask(
        AutoModelForCausalLM, MODEL_FOR_CAUSAL_LM_MAPPING, TaskType.CAUSAL_LM, has_classes=False
    ),
}
TASKS = tuple(MODELS_OF)

# What timm and transformers raise when an architecture cannot be built with the arguments given.
BUILD_ERRORS = (TypeError, ValueError, RuntimeError, IndexError, KeyError, AssertionError, StrictDataclassError)


def auto_class_for(task: str) -> type:
    """The transformers Auto class that opens models of `task`.

    Raises
    ------
    InputError
        For another task than those of ``TASKS``.

    Examples
    --------
    >>> auto_class_for("image-classification").__name__
    'AutoModelForImageClassification'
    """
    if task not in TASKS:
        raise InputError(f"task is {task!r}: pass one of {', '.join(TASKS)}")
    return MODELS_OF[task].auto_class


def find_task(target: nn.Module | PreTrainedConfig) -> str | None:
    """The task of a model, by its class, or of a saved configuration, by the class it names.

    GPT-2, Llama and their like have a classifier and a language model of one configuration. Where no class says which
    it is, it is the first task that the architecture has a model for.

    Parameters
    ----------
    target : torch.nn.Module or PreTrainedConfig
        A model may be a PEFT adapter on its base.

    Returns
    -------
    str or None
        None for what is neither, and for an architecture without a model for any task.

    Examples
    --------
    >>> from transformers import GPT2Config
    >>> find_task(GPT2Config(architectures=["GPT2LMHeadModel"])), find_task(GPT2Config())
    ('causal-lm', 'text-classification')
    """
    if isinstance(target, PreTrainedConfig):
        config, named = target, set(target.architectures or ())
    else:
        model = target.get_base_model() if isinstance(target, PeftModel) else target
        config, named = getattr(model, "config", None), {kind.__name__ for kind in type(model).__mro__}
    tasks = [task for task in TASKS if has_model(config, task)]
    return next((task for task in tasks if named & _class_names(config, task)), tasks[0] if tasks else None)


def task_of(target: nn.Module | PreTrainedConfig) -> str:
    """What `find_task` finds.

    Raises
    ------
    InputError
        When the architecture has no classifier for images, text or tables and is no language model.

    Examples
    --------
    >>> from transformers import TimmWrapperConfig
    >>> task_of(TimmWrapperConfig(architecture="resnet18"))
    'image-classification'
    """
    task = find_task(target)
    if task is None:
        config = target if isinstance(target, PreTrainedConfig) else target.config
        raise InputError(
            f"the architecture {config.model_type!r} has no classifier for images, text or tables and is no causal "
            "language model"
        )
    return task


def _class_names(config: PreTrainedConfig, task: str) -> set[str]:
    kinds = MODELS_OF[task].auto_class._model_mapping[type(config)]
    return {kind.__name__ for kind in (kinds if isinstance(kinds, (tuple, list)) else (kinds,))}


def has_model(config: PreTrainedConfig | None, task: str) -> bool:
    """Whether `config`'s architecture has a model for `task`."""
    kind = MODELS_OF[task]
    # A table's own model is registered with the sequence classifiers, and reads no text.
    return type(config) in kind.configs and (kind.peft_type is None or type(config) is not TabularMLPConfig)


def reads_text(task: str) -> bool:
    """Whether the models of `task` read what a tokenizer gives."""
    return MODELS_OF[task].peft_type is not None


def check_task(config: PreTrainedConfig, task: str) -> None:
    """Raise InputError unless `config`'s architecture has a model for `task`: of texts, one that reads as it says."""
    way_out = "pass another model or task"
    if not MODELS_OF[task].has_classes:
        way_out = "pass a causal language model, such as GPT-2, Llama, Qwen or Gemma"
        if config.is_encoder_decoder:
            raise InputError(
                f"the model is an encoder-decoder ({config.model_type}) and the task is {task}: {way_out}"
            )
        is_encoder = type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
        if is_encoder or getattr(config, "attn_type", None) == "bi":  # XLNet's
            raise InputError(
                f"the model is an encoder ({config.model_type}), which sees the tokens it is asked for, the task is "
                f"{task}: {way_out}"
            )
    if not has_model(config, task):
        raise InputError(f"the architecture {config.model_type!r} has no {task} model: {way_out}")


def scratch_config(name: str, *, model_kwargs: Mapping[str, Any]) -> PreTrainedConfig:
    """Configuration of an untrained model.

    Parameters
    ----------
    name : str
        ``"timm:resnet10t"`` or ``"timm/resnet18.a1_in1k"`` (a timm architecture; a pretrained tag is dropped) or a
        transformers model type (``"resnet"``, ``"bert"``, ``"hf_privacy_tabular_mlp"``).
    model_kwargs : mapping
        Arguments of the timm model, or fields of the transformers configuration.

    Raises
    ------
    InputError
        For an unknown architecture (with the nearest names), an unknown field, or a value of the wrong kind.

    Examples
    --------
    >>> scratch_config("timm:resnet10t", model_kwargs={"in_chans": 1}).model_args
    {'in_chans': 1}
    >>> scratch_config("resnet", model_kwargs={"embedding_size": 16}).embedding_size
    16
    """
    if name.startswith(("timm:", "timm/")):
        import timm  # only where it is asked for: it has a thousand architectures
        from transformers import TimmWrapperConfig

        architecture = name[len("timm:") :].split(".")[0]
        if not timm.is_model(architecture):
            raise InputError(_unknown(architecture, "timm", timm.list_models()))
        return TimmWrapperConfig(architecture=architecture, model_args=dict(model_kwargs))
    if name not in CONFIG_MAPPING:
        raise InputError(_unknown(name, "transformers", list(CONFIG_MAPPING.keys())))
    check_fields(AutoConfig.for_model(name), model_kwargs)
    try:
        return AutoConfig.for_model(name, **model_kwargs)
    except InputError:
        raise
    except BUILD_ERRORS as error:
        raise InputError(f"model_kwargs {dict(model_kwargs)} does not suit {name}: {one_line(error)}") from error


def check_fields(config: PreTrainedConfig, model_kwargs: Mapping[str, Any]) -> None:
    """Raise InputError when `model_kwargs` has a key that is no field of `config` (it would be kept and ignored)."""
    fields = {*config.to_dict(), *config.attribute_map}
    for key in model_kwargs:
        if key not in fields:
            raise InputError(f"model_kwargs has {_unknown(str(key), config.model_type, sorted(fields))}")


def set_labels(
    config: PreTrainedConfig, *, num_labels: int, id2label: Mapping[int, str] | Sequence[str] | None = None
) -> None:
    """Give `config` its classes: the names in `id2label`, else those it has if their number fits, else ``LABEL_i``.

    Raises
    ------
    InputError
        For fewer than two classes, or names that are not one per class.
    """
    if num_labels < 2:
        raise InputError(f"num_labels is {num_labels}: a classifier needs at least two classes")
    if id2label is not None:
        names = dict(id2label) if isinstance(id2label, Mapping) else dict(enumerate(id2label))
        names = {int(number): str(label) for number, label in names.items()}
        if sorted(names) != list(range(num_labels)):
            raise InputError(
                f"id2label has the classes {sorted(names)} and num_labels is {num_labels}: name each class once"
            )
    elif config.num_labels == num_labels:
        names = dict(config.id2label)
    else:
        names = {number: f"LABEL_{number}" for number in range(num_labels)}
    config.id2label = {number: names[number] for number in range(num_labels)}
    config.label2id = {label: number for number, label in config.id2label.items()}
    # A checkpoint may have been made for several labels at once or for regression; here each example has one class.
    config.problem_type = "single_label_classification"


def build_untrained(config: PreTrainedConfig, *, task: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """An untrained model of `config`, initialised as its own library does it.

    Raises
    ------
    InputError
        When the library cannot build the architecture with these arguments.

    Notes
    -----
    ``TimmWrapperForImageClassification(config)`` draws every convolution and linear layer anew from N(0, 0.02²), which
    undoes timm's own scheme (fan-in scaled convolutions, zero-initialised residual branches): the wrapper expects a
    checkpoint to follow. Here timm's weights are put back.
    """
    try:
        model = auto_class_for(task).from_config(config, trust_remote_code=False, dtype=dtype)
        if config.model_type == "timm_wrapper":
            import timm

            untouched = timm.create_model(
                config.architecture, pretrained=False, num_classes=config.num_labels, **(config.model_args or {})
            )
            model.timm_model.load_state_dict(untouched.state_dict())
    except BUILD_ERRORS as error:
        raise InputError(f"the architecture cannot be built with these model_kwargs: {one_line(error)}") from error
    return model


def is_folder(name_or_path: str) -> bool:
    """Whether `name_or_path` is an existing folder; a Hub id otherwise.

    Raises
    ------
    InputError
        When it can only be a folder (``./x``, ``/x``, ``~/x``, ``a/b/c``) and is not there.
    """
    if Path(name_or_path).is_dir():
        return True
    if name_or_path.startswith((".", "/", "~")) or name_or_path.count("/") > 1 or "\\" in name_or_path:
        raise InputError(f"the folder {name_or_path} does not exist: pass a saved model's folder or a Hub id")
    return False


def _unknown(name: str, where: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    return f"{name!r}, which {where} does not know" + (f": did you mean {', '.join(near)}?" if near else "")
