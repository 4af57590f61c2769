"""Models from the Hub, from a folder or from scratch, ready for training; what they were fine-tuned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    BaseImageProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hf_privacy.errors import InputError
from hf_privacy.models.architectures import (
    MODELS_OF,
    auto_class_for,
    build_untrained,
    check_task,
    reads_text,
    set_labels,
)
from hf_privacy.models.checkpoint import Checkpoint, cannot_load, check_gguf, fit_tokenizer, with_weights
from hf_privacy.models.checkpoint_classes import match_head, names_of
from hf_privacy.models.lora import attach_lora, head_modules
from hf_privacy.models.padding import align_padding, fill_pad_token, tokenizer_beside
from hf_privacy.models.precision import check_quantization, dtype_named
from hf_privacy.models.push_guard import guard_push


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
    dtype: str | torch.dtype = "float32",
    quantization: str | None = None,
    gguf_file: str | None = None,
) -> PreTrainedModel | PeftModel:
    """A model to train: pretrained (a classifier with a fitting head), untrained, or with a LoRA adapter.

    Weights are read from safetensors or GGUF only; code from the Hub is never run. The model's own `push_to_hub`
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
    dtype : {"float32", "bfloat16"}
        In which the weights are held, trained and saved; of an adapter, the frozen base. The adapter is float32.
    quantization : {"nf4"}, optional
        Hold the linear layers of an adapter's base in four bits (QLoRA; ``pip install "hf-privacy[qlora]"``, on a
        CUDA GPU). They compute in `dtype`.
    gguf_file : str, optional
        Read weights, configuration and tokenizer from this GGUF file of the folder or repository (``pip install
        "hf-privacy[gguf]"``).

    Returns
    -------
    PreTrainedModel or PeftModel
        In training mode, on the CPU; on the current GPU where its base is quantized.

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
    if quantization is not None and lora is None:
        raise InputError(
            f"quantization is {quantization!r} without lora: weights in four bits are not trained, so add an adapter, "
            "or leave quantization out"
        )
    check_quantization(quantization, gguf_file=gguf_file)
    check_gguf(gguf_file, name, from_scratch=from_scratch)
    source = Checkpoint(name, revision, gguf_file, dtype_named(dtype), quantization)
    config = source.config(from_scratch=from_scratch, model_kwargs=kwargs)
    check_task(config, task)
    theirs = names_of(config)
    _set_classes(config, task=task, num_labels=num_labels, id2label=id2label)
    if tokenizer is None and reads_text(task) and not from_scratch:
        tokenizer = tokenizer_beside(name, revision=revision, gguf_file=gguf_file)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)  # alone: a GPU's generator goes on as it was
        if from_scratch:
            model, fresh = _untrained(config, task=task, dtype=source.dtype, tokenizer=tokenizer), []
        else:
            model, fresh = source.model(config, task=task)
            # After building: a pretrained model keeps the positions it was trained with, or the tokenizer is refused.
            fit_tokenizer(model, tokenizer, task=task)
            other = [] if id2label is None else _other_classes(model, theirs, fresh, task=task, name=name)
            if other:
                model, fresh = _with_fresh_head(model, other), sorted({*fresh, *other})
        if lora is not None:
            model = attach_lora(model, lora, task=task, fresh_parameters=fresh, revision=revision)
    return guard_push(model).train()


def load_base(
    name_or_path: str | Path,
    *,
    task: str,
    num_labels: int | None = None,
    id2label: Mapping[int, str] | Sequence[str] | None = None,
    revision: str | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dtype: str | torch.dtype = "float32",
    quantization: str | None = None,
    gguf_file: str | None = None,
) -> PreTrainedModel | None:
    """The checkpoint a model was fine-tuned from, when it already does what the model does.

    Its signals calibrate those of the fine-tuned model. A language model always does; a classifier, when it tells the
    same classes apart. One whose head would be drawn at random knows nothing of the classes: then there is nothing to
    calibrate with, and None is returned. The base of an adapter needs no second model: `base_of`.

    Parameters
    ----------
    name_or_path, task, num_labels, id2label, revision, tokenizer, dtype, quantization, gguf_file
        As in :func:`load_model`; a checkpoint of other class names is not one of the same classes. The tokenizer is
        the fine-tuned model's.

    Returns
    -------
    PreTrainedModel or None
        In evaluation mode, on the CPU.
    """
    check_quantization(quantization, gguf_file=gguf_file)
    check_gguf(gguf_file, str(name_or_path))
    source = Checkpoint(str(name_or_path), revision, gguf_file, dtype_named(dtype), quantization)
    config = source.config()
    check_task(config, task)
    theirs = names_of(config)
    _set_classes(config, task=task, num_labels=num_labels, id2label=id2label)
    if tokenizer is None and reads_text(task):
        tokenizer = tokenizer_beside(source.name, revision=revision, gguf_file=gguf_file)
    model, fresh = source.model(config, task=task)
    fit_tokenizer(model, tokenizer, task=task)
    if fresh or (id2label is not None and _other_classes(model, theirs, fresh, task=task, name=str(name_or_path))):
        return None
    return model.eval()


# Its name from when all models were classifiers.
load_base_classifier = load_base


def load_tokenizer(
    name_or_path: str | Path, *, revision: str | None = None, gguf_file: str | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer of a text model; a folder or Hub id without one is an `InputError`.

    Without a pad token it gets the one that its model's configuration names, else its end-of-text token, and a warning
    says so. `gguf_file` names the GGUF file it is in, if it is.
    """
    check_gguf(gguf_file, str(name_or_path))
    more = {} if gguf_file is None else {"gguf_file": gguf_file}
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(name_or_path), revision=revision, trust_remote_code=False, **more
        )
    except (OSError, ValueError) as error:
        raise cannot_load(str(name_or_path), error) from error
    fill_pad_token(tokenizer, str(name_or_path), revision=revision, gguf_file=gguf_file)
    return guard_push(tokenizer)


def load_image_processor(name_or_path: str | Path, *, revision: str | None = None) -> BaseImageProcessor:
    """The image processor of a transformers checkpoint; a folder or Hub id without one is an `InputError`."""
    try:
        return AutoImageProcessor.from_pretrained(str(name_or_path), revision=revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise cannot_load(str(name_or_path), error) from error


def _set_classes(
    config: PreTrainedConfig, *, task: str, num_labels: int | None, id2label: Mapping[int, str] | Sequence[str] | None
) -> None:
    if MODELS_OF[task].has_classes:
        if num_labels is None:
            raise InputError(f"num_labels is missing: a {task} model needs the number of its classes")
        set_labels(config, num_labels=num_labels, id2label=id2label)
    elif num_labels is not None or id2label is not None:
        raise InputError(f"num_labels or id2label is given: a {task} model has no classes, so leave them out")


def _untrained(
    config: PreTrainedConfig, *, task: str, dtype: torch.dtype, tokenizer: PreTrainedTokenizerBase | None
) -> PreTrainedModel:
    if MODELS_OF[task].has_classes:
        align_padding(config, tokenizer)
        return build_untrained(config, task=task, dtype=dtype)
    # A language model starts with every embedding drawn: its pad token may be one of its texts'.
    model = build_untrained(config, task=task, dtype=dtype)
    fit_tokenizer(model, tokenizer, task=task)
    return model


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
    return with_weights(model, {key: tensor for key, tensor in model.state_dict().items() if key not in parameters})
