"""LoRA adapters that reload to the same function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import EMBEDDING_LAYER_NAMES, ModulesToSaveWrapper
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hf_privacy.errors import InputError, one_line
from hf_privacy.models.architectures import MODELS_OF
from hf_privacy.models.commit import commit_of

_RESERVED = {"auto_mapping", "task_type", "inference_mode", "base_model_name_or_path", "revision"}


def attach_lora(
    model: PreTrainedModel,
    lora: Mapping[str, Any],
    *,
    task: str,
    fresh_parameters: Iterable[str] = (),
    revision: str | None = None,
) -> PeftModel:
    """Freeze `model` and add a LoRA adapter that is trained in its stead (Hu et al., 2021, arXiv 2106.09685).

    Beside the adapter three kinds of modules are trained and saved in full: the classification head, every layer the
    checkpoint had no weights for (a reload would draw other random ones), and normalisation layers with running
    statistics (training moves the statistics though the layer is frozen). A language model's head stays as it is, and
    every other linear layer is adapted unless ``target_modules`` says which are. How the base is opened is recorded in
    the adapter (`recorded_base`).

    Parameters
    ----------
    model : PreTrainedModel
        The base, loaded from the Hub or a folder.
    lora : mapping
        Fields of ``peft.LoraConfig``: ``r``, ``lora_alpha``, ``lora_dropout``, ``target_modules``, …
    task : str
        The model's task; text gets peft's wrapper for it.
    fresh_parameters : iterable of str
        Names of the parameters that were not in the base's checkpoint.
    revision : str, optional
        The base's Hub revision, recorded in the adapter as the commit it is now.

    Raises
    ------
    InputError
        For an unknown field, target modules that match nothing, or a start that writes into the base (PiSSA, OLoRA).
    """
    settings = dict(lora)
    reserved = sorted(_RESERVED & set(settings))
    if reserved:
        raise InputError(f"lora has {', '.join(reserved)}: leave it out, it follows from the model and the task")
    own = settings.pop("modules_to_save", None) or []
    heads = head_modules(model) if MODELS_OF[task].has_classes else []
    modules = {*own, *heads, *_modules_of(fresh_parameters), *_modules_with_statistics(model)}
    unknown = [
        name for name in own if not any(f".{module}".endswith(f".{name}") for module, _ in model.named_modules())
    ]
    if unknown:
        raise InputError(f"lora has modules_to_save {unknown}: the model has no such modules")
    if not MODELS_OF[task].has_classes:
        settings.setdefault("target_modules", "all-linear")
    settings.setdefault("fan_in_fan_out", any(isinstance(module, Conv1D) for module in model.modules()))  # GPT-2
    before = _sums(model)
    try:
        config = LoraConfig(
            task_type=MODELS_OF[task].peft_type,
            modules_to_save=sorted(_outermost(modules)) or None,
            auto_mapping=_opened(model),
            **settings,
        )
        adapted = get_peft_model(model, config, revision=commit_of(model.name_or_path, revision) or revision)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"lora {dict(lora)} does not suit {type(model).__name__}: {one_line(error)}") from error
    after = _sums(adapted)
    if any(after.get(place, total) != total for place, total in before.items()):
        raise InputError(
            f"lora has init_lora_weights {settings.get('init_lora_weights')!r}, which changes the base's own weights: "
            "a saved adapter would come back on another base; leave it out, or pass 'gaussian'"
        )
    if settings.get("ensure_weight_tying") and not _stays_tied(adapted):
        raise InputError(
            f"lora has ensure_weight_tying, and peft does not keep embeddings and head of this {type(model).__name__} "
            "tied: leave it out, and each is trained on its own if modules_to_save names it"
        )
    return adapted


def _sums(model: nn.Module) -> dict[int, float]:
    """Of each weight: PEFT writes past the counter that PyTorch keeps of changes."""
    return {id(weight): float(weight.detach().float().sum()) for weight in model.parameters()}


def _opened(base: PreTrainedModel) -> dict[str, str]:
    """The precision of a base, and where it is so, that it is in four bits or from which GGUF file it is."""
    found = {
        "dtype": str(base.dtype).removeprefix("torch."),
        "quantization": "nf4" if getattr(base, "is_loaded_in_4bit", False) else None,
        "gguf_file": getattr(base, "gguf_file", None),
    }
    return {name: value for name, value in found.items() if value is not None}


def recorded_base(config: PeftConfig) -> dict[str, Any]:
    """How the base of a saved adapter was opened when it was trained; empty where peft alone wrote the adapter.

    It stands in the adapter's ``auto_mapping``, peft's own field for what helps to find the base: else an adapter
    trained on a float32 copy of a bfloat16 checkpoint would be audited, and used, on other values than it was fitted
    to.

    Examples
    --------
    >>> recorded_base(LoraConfig(task_type="CAUSAL_LM", auto_mapping={"dtype": "float32"}))
    {'dtype': 'float32'}
    """
    known = ("dtype", "quantization", "gguf_file")
    return {name: value for name, value in (config.auto_mapping or {}).items() if name in known}


def _stays_tied(model: PeftModel) -> bool:
    """Whether embeddings and head share their trained weights, and by names that peft ties again in a reload."""
    both = (model.get_input_embeddings(), model.get_output_embeddings())
    config = model.peft_config[model.active_adapter]
    trained = [*(config.modules_to_save or []), *(config.target_modules or [])]
    return (
        all(isinstance(each, (ModulesToSaveWrapper, BaseTunerLayer)) for each in both)
        and both[0].weight is both[1].weight
        and any(name.rpartition(".")[2] in EMBEDDING_LAYER_NAMES for name in trained)
    )


def head_modules(model: PreTrainedModel) -> list[str]:
    """Names of the modules that make up the classification head.

    In transformers models these are the parts beside the base model that have weights; a timm model names its own.

    Examples
    --------
    >>> from transformers import RobertaConfig, RobertaForSequenceClassification
    >>> sizes = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
    >>> tiny = RobertaConfig(vocab_size=9, **sizes)
    >>> head_modules(RobertaForSequenceClassification(tiny))
    ['classifier']
    """
    if model.config.model_type == "timm_wrapper":
        names = model.timm_model.pretrained_cfg["classifier"]
        return [f"timm_model.{name}" for name in ([names] if isinstance(names, str) else names)]
    return [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and any(True for _ in child.parameters())
    ]


def _modules_of(parameters: Iterable[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in parameters}


def _modules_with_statistics(model: nn.Module) -> set[str]:
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
    return {
        name for name, module in model.named_modules() if isinstance(module, kinds) and module.running_mean is not None
    }


def _outermost(modules: set[str]) -> set[str]:
    """Drop modules inside another of the set: peft wraps each one, and may not wrap twice."""
    return {name for name in modules if not any(name.startswith(f"{other}.") for other in modules)}
