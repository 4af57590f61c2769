"""Trained models from the folders they were saved in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedConfig, PreTrainedModel

from hf_privacy.errors import InputError, one_line
from hf_privacy.models.architectures import MODELS_OF, has_model, reads_text, set_labels, task_of
from hf_privacy.models.checkpoint import Checkpoint, check_gguf, fit_tokenizer, quiet
from hf_privacy.models.checkpoint_classes import class_parameters
from hf_privacy.models.lora import recorded_base
from hf_privacy.models.padding import ADAPTER_CONFIG, tokenizer_beside
from hf_privacy.models.precision import check_quantization, dtype_named, dtype_saved
from hf_privacy.models.push_guard import guard_push

ADAPTER_WEIGHTS = "adapter_model.safetensors"


def load_saved_model(folder: str | Path, *, dtype: str | torch.dtype | None = None) -> PreTrainedModel | PeftModel:
    """A trained model from the folder ``save_pretrained`` wrote: a full model, or a PEFT adapter on its base.

    Whether it is a classifier or a language model its ``config.json`` says by the class it names, an adapter by its
    task type. What else lies there, such as a trainer's ``training_args.bin`` and checkpoints, is not opened.

    Parameters
    ----------
    folder : str or Path
        With ``config.json`` and safetensors weights, or with ``adapter_config.json`` and
        ``adapter_model.safetensors`` (whose base must be on the Hub, cached, or still in its folder). A text model
        names the pad token of the tokenizer in the folder; an adapter without one, of its base's.
    dtype : {"float32", "bfloat16"}, optional
        By default float32 for a classifier, and for a language model the precision that it was trained in: bfloat16
        where its configuration says so, or the adapter's of its base; an adapter that does not, on its base's.

    Returns
    -------
    PreTrainedModel or PeftModel
        In evaluation mode, on the CPU; an adapter whose base is quantized, on the current GPU.

    Raises
    ------
    InputError
        When the folder is missing, holds no safetensors weights, or its weights are not all there.
    """
    if not Path(folder).is_dir():
        raise InputError(f"the folder {folder} does not exist: pass a saved model's folder")
    if (Path(folder) / ADAPTER_CONFIG).is_file():
        return guard_push(_saved_adapter(Path(folder), dtype)).eval()
    config = Checkpoint(str(folder)).config()
    task = task_of(config)
    checkpoint = Checkpoint(str(folder), dtype=_dtype(dtype, config, task=task))
    model, fresh = checkpoint.model(config, task=task)
    if fresh:
        raise InputError(f"the weights in {Path(folder).name} lack {', '.join(fresh[:3])}: save it with its head")
    if reads_text(task):
        fit_tokenizer(model, tokenizer_beside(str(folder)), task=task)
    return guard_push(model).eval()


def _dtype(asked: str | torch.dtype | None, config: PreTrainedConfig, *, task: str) -> torch.dtype:
    if asked is not None:
        return dtype_named(asked)
    return torch.float32 if MODELS_OF[task].has_classes else dtype_saved(config)


def _saved_adapter(folder: Path, dtype: str | torch.dtype | None) -> PeftModel:
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise InputError(f"the folder {folder} holds no {ADAPTER_WEIGHTS} (pickles are never opened): save it again")
    adapter = PeftConfig.from_pretrained(str(folder))
    name = adapter.base_model_name_or_path
    if not name:
        raise InputError(f"the adapter in {folder.name} names no base model: its base was never saved")
    try:
        with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
            names = list(file.keys())
            shapes = {name.removeprefix("base_model.model."): file.get_slice(name).get_shape() for name in names}
    except SafetensorError as error:
        raise InputError(f"{ADAPTER_WEIGHTS} in {folder.name} is damaged ({one_line(error)}): save it again") from None
    recorded = recorded_base(adapter)
    check_gguf(recorded.get("gguf_file"), name)
    check_quantization(recorded.get("quantization"))
    base = Checkpoint(
        name, adapter.revision, gguf_file=recorded.get("gguf_file"), quantization=recorded.get("quantization")
    )
    config = base.config()
    task = _adapter_task(adapter, config)
    num_labels = _adapter_num_labels(config, shapes, task=task) if MODELS_OF[task].has_classes else None
    if num_labels is not None:
        # The adapter's own head is in the order of its dataset, which the base's names do not tell.
        set_labels(config, num_labels=num_labels, id2label=[f"LABEL_{number}" for number in range(num_labels)])
    base = replace(base, dtype=_dtype(dtype or recorded.get("dtype"), config, task=task))
    model, fresh = base.model(config, task=task)
    lost = [key for key in fresh if key not in shapes]
    if lost:
        raise InputError(
            f"neither the adapter in {folder.name} nor its base has the weights {', '.join(lost[:3])}: save the "
            "adapter with these modules in modules_to_save"
        )
    if reads_text(task):
        _resize_embeddings(model, shapes)
        tokenizer = tokenizer_beside(str(folder))
        if tokenizer is None:
            tokenizer = tokenizer_beside(name, revision=base.revision, gguf_file=base.gguf_file)
        fit_tokenizer(model, tokenizer, task=task)
    return PeftModel.from_pretrained(model, str(folder))


def _resize_embeddings(model: PreTrainedModel, shapes: Mapping[str, Sequence[int]]) -> None:
    """As many embeddings as the adapter was trained with: it holds them in full where its vocabulary was extended."""
    embeddings = (model.get_input_embeddings(), model.get_output_embeddings())
    names = [name for name, module in model.named_modules() if any(module is each for each in embeddings)]
    kinds = ("weight", "base_layer.weight")
    rows = {shapes[key][0] for name in names for kind in kinds if (key := f"{name}.{kind}") in shapes}
    if rows and max(rows) != embeddings[0].num_embeddings:
        with quiet():
            model.resize_token_embeddings(max(rows), mean_resizing=False)


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
