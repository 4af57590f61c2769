"""Models from the Hub, from a folder or from scratch, ready for training; saved models, ready for an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TimmWrapperConfig,
)
from transformers.utils import logging

from hf_privacy.errors import InputError
from hf_privacy.models.architectures import (
    BUILD_ERRORS,
    MODELS_OF,
    auto_class_for,
    build_untrained,
    check_fields,
    check_task,
    has_model,
    is_folder,
    one_line,
    reads_text,
    scratch_config,
    set_labels,
    task_of,
)
from hf_privacy.models.checkpoint_classes import class_parameters, match_head, names_of
from hf_privacy.models.lora import attach_lora, head_modules
from hf_privacy.models.padding import ADAPTER_CONFIG, align_padding, fill_pad_token, tokenizer_beside
from hf_privacy.models.push_guard import guard_push

ADAPTER_WEIGHTS = "adapter_model.safetensors"


def load_model(
    name_or_path: str | Path,
    *,
    task: str,
    num_labels: int | None = None,
    id2label: Mapping[int, str] | Sequence[str] | None = None,
    from_scratch: bool = False,
    model_kwargs: Mapping[str, Any] | None = None,
    revision: str | None = None,
    lora: Mapping[str, Any] | None = None,
    seed: int | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> PreTrainedModel | PeftModel:
    """A model to train: pretrained (a classifier with a fitting head), untrained, or with a LoRA adapter.

    Weights are read from safetensors only, in float32; code from the Hub is never run. The model's own `push_to_hub`
    refuses (:func:`hf_privacy.models.allow_unguarded_push`).

    Parameters
    ----------
    name_or_path : str or Path
        A Hub id (``"google/vit-base-patch16-224"``, ``"timm/resnet18.a1_in1k"``) or a folder. With `from_scratch` also
        a timm architecture (``"timm:resnet10t"``) or a transformers model type (``"resnet"``, ``"bert"``,
        ``"hf_privacy_tabular_mlp"``).
    task : str
        One of `hf_privacy.tasks.TASKS`.
    num_labels : int
        Of a classifier, and only there: number of classes, ≥ 2. A checkpoint with another number gets a fresh head.
    id2label : mapping or sequence of str, optional
        Class names. A checkpoint of the same names in another order has its head put into this one; one of other
        names gets a fresh head; where either has no names ("LABEL_0", "0") the order is taken to be the same. The
        latter two with a warning.
    from_scratch : bool
        Build the architecture untrained instead of loading weights.
    model_kwargs : mapping, optional
        Arguments of the timm model, or fields of the transformers configuration.
    revision : str, optional
        Branch, tag or commit on the Hub.
    lora : mapping, optional
        Fields of ``peft.LoraConfig``: freeze the model and train an adapter, and a classifier's head. A language
        model has all linear layers but its head adapted, unless ``target_modules`` says otherwise.
    seed : int, optional
        Makes every random weight the same each time; the caller's random state is left as it was.
    tokenizer : PreTrainedTokenizerBase, optional
        Of a text model: its configuration names this tokenizer's pad token. By default the one beside the weights.

    Returns
    -------
    PreTrainedModel or PeftModel
        In training mode, on the CPU.

    Raises
    ------
    InputError
        When the model, its weights or these arguments cannot be used; the message says why.

    Examples
    --------
    >>> model = load_model("hf_privacy_tabular_mlp", task="tabular-classification", num_labels=3, from_scratch=True,
    ...                    model_kwargs={"input_size": 4, "hidden_sizes": [8]}, seed=0)
    >>> sum(parameter.numel() for parameter in model.parameters())
    67
    """
    name, kwargs = str(name_or_path), dict(model_kwargs or {})
    auto_class_for(task)  # an unknown task is the first thing to say
    if lora is not None and from_scratch:
        raise InputError(
            "lora is given with from_scratch: an adapter is nothing without its base, so save the untrained base "
            "(save_pretrained) and pass its folder without from_scratch"
        )
    if lora is not None and kwargs:
        raise InputError(
            f"lora is given with model_kwargs {kwargs}: an adapter does not record changes of its base, so save the "
            "changed base (save_pretrained) and pass its folder without model_kwargs"
        )
    config = _config(name, from_scratch=from_scratch, model_kwargs=kwargs, revision=revision)
    check_task(config, task)
    theirs = names_of(config)
    _set_classes(config, task=task, num_labels=num_labels, id2label=id2label)
    if tokenizer is None and reads_text(task) and not from_scratch:
        tokenizer = tokenizer_beside(name, revision=revision)
    if from_scratch:
        align_padding(config, tokenizer)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # alone: a GPU's generator goes on as it was
        if from_scratch:
            model, fresh = build_untrained(config, task=task), []
        else:
            model, fresh = _pretrained(name, config, task=task, revision=revision, tokenizer=tokenizer)
            other = [] if id2label is None else _other_classes(model, theirs, fresh, task=task, name=name)
            if other:
                model, fresh = _with_fresh_head(model, other), sorted({*fresh, *other})
        if lora is not None:
            model = attach_lora(model, lora, task=task, fresh_parameters=fresh, revision=revision)
    return guard_push(model).train()


def load_base_classifier(
    name_or_path: str | Path,
    *,
    task: str,
    num_labels: int,
    id2label: Mapping[int, str] | Sequence[str] | None = None,
    revision: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> PreTrainedModel | None:
    """The checkpoint a model was fine-tuned from, when it already tells the same classes apart.

    Its signals calibrate those of the fine-tuned model. A checkpoint whose head would be drawn at random knows nothing
    of the classes: then there is nothing to calibrate with, and None is returned.

    Parameters
    ----------
    name_or_path, task, num_labels, id2label, revision, tokenizer
        As in :func:`load_model`; a checkpoint of other class names is not one of the same classes. The tokenizer is
        the fine-tuned model's.

    Returns
    -------
    PreTrainedModel or None
        In evaluation mode, on the CPU.
    """
    config = _config(str(name_or_path), from_scratch=False, model_kwargs={}, revision=revision)
    check_task(config, task)
    theirs = names_of(config)
    set_labels(config, num_labels=num_labels, id2label=id2label)
    if tokenizer is None and reads_text(task):
        tokenizer = tokenizer_beside(str(name_or_path), revision=revision)
    model, fresh = _pretrained(str(name_or_path), config, task=task, revision=revision, tokenizer=tokenizer)
    if fresh or (id2label is not None and _other_classes(model, theirs, fresh, task=task, name=str(name_or_path))):
        return None
    return model.eval()


def load_tokenizer(name_or_path: str | Path, *, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a text model; a folder or Hub id without one is an `InputError`.

    Without a pad token it gets the one that its model's configuration names, else its end-of-text token, and a warning
    says so.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(name_or_path), revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(_cannot_load(str(name_or_path), error)) from error
    fill_pad_token(tokenizer, str(name_or_path), revision=revision)
    return guard_push(tokenizer)


def load_image_processor(name_or_path: str | Path, *, revision: str | None = None) -> BaseImageProcessor:
    """The image processor of a transformers checkpoint; a folder or Hub id without one is an `InputError`."""
    try:
        return AutoImageProcessor.from_pretrained(str(name_or_path), revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(_cannot_load(str(name_or_path), error)) from error


def load_saved_model(folder: str | Path) -> PreTrainedModel | PeftModel:
    """A trained model from the folder ``save_pretrained`` wrote: a full model, or a PEFT adapter on its base.

    Parameters
    ----------
    folder : str or Path
        With ``config.json`` and safetensors weights, or with ``adapter_config.json`` and
        ``adapter_model.safetensors`` (whose base must be on the Hub, cached, or still in its folder). A text model
        names the pad token of the tokenizer in the folder; an adapter without one, of its base's.

    Returns
    -------
    PreTrainedModel or PeftModel
        In evaluation mode, float32, on the CPU.

    Raises
    ------
    InputError
        When the folder is missing, holds no safetensors weights, or its weights are not all there.
    """
    if not Path(folder).is_dir():
        raise InputError(f"the folder {folder} does not exist: pass a saved model's folder")
    if (Path(folder) / ADAPTER_CONFIG).is_file():
        return guard_push(_saved_adapter(Path(folder))).eval()
    config = _config(str(folder), from_scratch=False, model_kwargs={}, revision=None)
    task = task_of(config)
    tokenizer = tokenizer_beside(str(folder)) if reads_text(task) else None
    model, fresh = _pretrained(str(folder), config, task=task, revision=None, tokenizer=tokenizer)
    if fresh:
        raise InputError(f"the weights in {Path(folder).name} lack {', '.join(fresh[:3])}: save it with its head")
    return guard_push(model).eval()


def _set_classes(
    config: PreTrainedConfig, *, task: str, num_labels: int | None, id2label: Mapping[int, str] | Sequence[str] | None
) -> None:
    if MODELS_OF[task].has_classes:
        if num_labels is None:
            raise InputError(f"num_labels is missing: a {task} model needs the number of its classes")
        set_labels(config, num_labels=num_labels, id2label=id2label)
    elif num_labels is not None or id2label is not None:
        raise InputError(f"num_labels or id2label is given: a {task} model has no classes, so leave them out")


def _config(name: str, *, from_scratch: bool, model_kwargs: dict[str, Any], revision: str | None) -> PreTrainedConfig:
    if from_scratch and (name.startswith(("timm:", "timm/")) or ("/" not in name and not Path(name).is_dir())):
        return scratch_config(name, model_kwargs=model_kwargs)
    if is_folder(name):
        _check_folder(Path(name), need_weights=not from_scratch)
    try:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(_cannot_load(name, error)) from error
    if isinstance(config, TimmWrapperConfig):
        config.model_args = {**(config.model_args or {}), **model_kwargs}
    else:
        check_fields(config, model_kwargs)
        for key, value in model_kwargs.items():
            setattr(config, key, value)
    return config


def _check_folder(folder: Path, *, need_weights: bool) -> None:
    if not (folder / "config.json").is_file():
        what = "an adapter; pass its base model" if (folder / ADAPTER_CONFIG).is_file() else "no config.json"
        raise InputError(f"the folder {folder} holds {what}: a model folder has config.json and model.safetensors")
    if need_weights and not any(folder.glob("*.safetensors")):
        raise InputError(
            f"the folder {folder} holds no .safetensors weights (pickled ones are never opened): save the model "
            "again with save_pretrained"
        )


def _pretrained(
    name: str,
    config: PreTrainedConfig,
    *,
    task: str,
    revision: str | None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> tuple[PreTrainedModel, list[str]]:
    """The model with its weights, and the names of those the checkpoint did not have (or of another size)."""
    try:
        with _quiet():  # a fresh head is meant; whatever else does not fit is an error below
            model, loaded = auto_class_for(task).from_pretrained(
                name,
                config=config,
                revision=revision,
                trust_remote_code=False,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except OSError as error:
        raise InputError(_cannot_load(name, error)) from error
    except SafetensorError as error:
        raise InputError(f"the weights of {name} are damaged ({one_line(error)}): get them again") from None
    except BUILD_ERRORS as error:
        raise InputError(f"the model {name} cannot be built: {one_line(error)}") from error
    heads = tuple(f"{head}." for head in (head_modules(model) if MODELS_OF[task].has_classes else ()))
    wrong_size = sorted(key for key, *_ in loaded["mismatched_keys"])
    for key in wrong_size:
        if not key.startswith(heads):
            raise InputError(f"the weights of {name} do not fit ({key} has another size): check model_kwargs")
    fresh = sorted({*loaded["missing_keys"], *wrong_size})
    body = [key for key, _ in model.named_parameters() if not key.startswith(heads)]
    if body and set(body) <= set(fresh):
        raise InputError(f"none of the weights of {name} belong to {type(model).__name__}: pass another checkpoint")
    if fresh and not MODELS_OF[task].has_classes:
        raise InputError(f"the weights of {name} lack {', '.join(fresh[:3])}: pass a checkpoint with all of them")
    # After building: a pretrained model keeps the positions it was trained with, or the tokenizer is refused.
    align_padding(model, tokenizer)
    return model, fresh


def _other_classes(
    model: PreTrainedModel, theirs: Sequence[str], fresh: Sequence[str], *, task: str, name: str
) -> list[str]:
    """`match_head` of a head that came with its checkpoint; one that did not has no classes to match."""
    ours = names_of(model.config)
    heads = tuple(f"{head}." for head in head_modules(model))
    if len(theirs) != len(ours) or any(key.startswith(heads) for key in fresh):
        return []
    return match_head(model, theirs, ours, task=task, name=name)


def _with_fresh_head(model: PreTrainedModel, parameters: Sequence[str]) -> PreTrainedModel:
    """The same weights but for these parameters, which the model's own library draws."""
    kept = {key: tensor for key, tensor in model.state_dict().items() if key not in parameters}
    source = model.config._name_or_path  # an adapter records it
    with _quiet():
        drawn = type(model).from_pretrained(
            None, config=model.config, state_dict=kept, dtype=torch.float32, trust_remote_code=False
        )
    drawn.config._name_or_path = drawn.name_or_path = source
    return drawn


def _saved_adapter(folder: Path) -> PeftModel:
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise InputError(f"the folder {folder} holds no {ADAPTER_WEIGHTS} (pickles are never opened): save it again")
    adapter = PeftConfig.from_pretrained(str(folder))
    base = adapter.base_model_name_or_path
    if not base:
        raise InputError(f"the adapter in {folder.name} names no base model: its base was never saved")
    try:
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            names = list(file.keys())
            shapes = {name.removeprefix("base_model.model."): file.get_slice(name).get_shape() for name in names}
    except SafetensorError as error:
        raise InputError(f"{ADAPTER_WEIGHTS} in {folder.name} is damaged ({one_line(error)}): save it again") from None
    config = _config(base, from_scratch=False, model_kwargs={}, revision=adapter.revision)
    task = _adapter_task(adapter, config)
    num_labels = _adapter_num_labels(config, shapes, task=task) if MODELS_OF[task].has_classes else None
    if num_labels is not None:
        # The adapter's own head is in the order of its dataset, which the base's names do not tell.
        set_labels(config, num_labels=num_labels, id2label=[f"LABEL_{number}" for number in range(num_labels)])
    tokenizer = None
    if reads_text(task):
        tokenizer = tokenizer_beside(str(folder)) or tokenizer_beside(base, revision=adapter.revision)
    model, fresh = _pretrained(base, config, task=task, revision=adapter.revision, tokenizer=tokenizer)
    lost = [key for key in fresh if key not in shapes]
    if lost:
        raise InputError(
            f"neither the adapter in {folder.name} nor its base has the weights {', '.join(lost[:3])}: save the "
            "adapter with these modules in modules_to_save"
        )
    return PeftModel.from_pretrained(model, str(folder))


def _adapter_task(adapter: PeftConfig, base: PreTrainedConfig) -> str:
    """What the adapter says it is for; one that does not say is for what its base is."""
    for task, kind in MODELS_OF.items():
        if kind.peft_type is not None and kind.peft_type == adapter.task_type and has_model(base, task):
            return task
    return task_of(base)


def _adapter_num_labels(config: PreTrainedConfig, shapes: Mapping[str, Sequence[int]], *, task: str) -> int | None:
    """Number of classes of an adapter's head, or None when it has none: peft does not record it."""
    found = (key for key in class_parameters(config, task=task) if key in shapes)
    return next((shapes[key][0] for key in found), None)


def _cannot_load(name: str, error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return f"{name} needs Python code that comes with it, which is never run: pass one that transformers knows"
    if Path(name).is_dir():
        return f"the model in {name} cannot be loaded: {one_line(error)}"
    return f"the Hub model {name!r} is neither reachable nor cached, or not public: check its name, network and login"


@contextmanager
def _quiet() -> Iterator[None]:
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
